# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# The identity of one boot: a host key that is made now and never leaves this machine's memory, and the proof that the
# key is that of the boot which was ordered. Sourced by /init.

# read_secret: prints the secret that the boot profile has put on the kernel command line, if it has.
read_secret() {
	read -r command_line </proc/cmdline
	for argument in $command_line; do
		case $argument in kadeploy.boot=*) echo "${argument#kadeploy.boot=}" ;; esac
	done
}

# digest: prints the SHA-256 of the standard input, as bytes.
digest() {
	sha256sum | cut -c 1-64 | xxd -r -p
}

# prove SECRET TEXT: prints HMAC-SHA256 (RFC 2104) in hexadecimal. The key is the 64 characters of the secret, which are
# one block of SHA-256. So it needs no padding, and each of its 16 digits has one value under ipad and one under opad.
prove() {
	inner='\6\7\4\5\2\3\0\1\16\17WTURSP'
	outer='lmnohijkde=>?89:'
	{
		printf %s "$1" | tr 0-9a-f "$outer"
		{
			printf %s "$1" | tr 0-9a-f "$inner"
			printf %s "$2"
		} | digest
	} | sha256sum | cut -c 1-64
}

# make_identity: the host key, and /run/kadeploy/proof: the boot's id, and the proof of key and id by the secret.
make_identity() {
	/usr/bin/ssh-keygen -q -t ed25519 -N '' -C miniOS -f /etc/ssh/ssh_host_ed25519_key </dev/null
	secret=$(read_secret)
	[ ${#secret} = 64 ] || return 0
	read -r type key _ </etc/ssh/ssh_host_ed25519_key.pub
	read -r boot_id </proc/sys/kernel/random/boot_id
	mkdir -p /run/kadeploy
	echo "$boot_id $(prove "$secret" "$type $key $boot_id")" >/run/kadeploy/proof
}
