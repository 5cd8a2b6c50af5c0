#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# by-hand.sh INPUTS: deploys one node that is off, the way an administrator's own script would do it: plain
# tools, one ssh connection per boot that all commands share (ControlMaster), one command line per phase.
# Prints a word when a phase is over. INPUTS sets the variables in capitals; files.py writes it.
set -euo pipefail

# shellcheck source=/dev/null
source "$1"

on_node() {
	ssh -F "$WORK/ssh_config" node "$@"
}

disconnect() {
	ssh -F "$WORK/ssh_config" -O exit node 2>/dev/null || true
}

bmc() {
	ipmitool -I lanplus -H "$BMC" -U "$BMC_USER" -f "$BMC_PASSWORD" -C "$BMC_CIPHER" chassis "$@" >/dev/null
}

# A profile appears at once and whole, for the machine may be reading it.
switch_profile() {
	cp "$1" "$PROFILE.new"
	mv "$PROFILE.new" "$PROFILE"
}

# The port is asked before ssh is: a handshake with an emulated machine may take longer than the second that
# ConnectTimeout=1 would grant it, and a lost SYN must not cost more than a second either.
wait_for_port() {
	until timeout 0.5 bash -c "exec 3<>/dev/tcp/$ADDRESS/22" 2>/dev/null; do
		sleep 0.2
	done
}

boot_minios() {
	rm -f "$WORK/known_hosts"
	switch_profile "$WORK/minios.profile"
	bmc bootdev pxe
	bmc power on
	echo rebooted
	wait_for_port
	until on_node true 2>/dev/null; do
		sleep 0.2
	done
	# As after a real reboot, it must be the boot that was ordered now.
	on_node grep -q "$TOKEN" /proc/cmdline
}

prepare_disk() {
	on_node 'umask 077; mkdir -p /root/.ssh; cat >>/root/.ssh/authorized_keys' <"$KEY"
	on_node "wipefs --all --force --quiet $DISK </dev/null
		sfdisk --quiet --wipe always --wipe-partitions always $DISK &&
		$SHOW_PARTITIONS &&
		$MAKE_FILESYSTEM &&
		mkdir -p $ROOT && mount $TARGET $ROOT &&
		$MAKE_SWAP >/dev/null" <"$WORK/layout.sfdisk"
}

# busybox wget over HTTP: an image through the ssh connection would be decrypted by the emulated processor.
unpack_image() {
	on_node "mkfifo /tmp/copy
		sha256sum </tmp/copy >/tmp/sum & sum=\$!
		busybox wget -q -O - $IMAGE_URL | tee /tmp/copy | $DECOMPRESS |
			tar -xpf - -C $ROOT --numeric-owner --xattrs --acls || exit 1
		wait \$sum
		read -r digest _ </tmp/sum
		[ \"\$digest\" = $IMAGE_SHA256 ]"
}

post_install() {
	on_node "rm -rf $ARCHIVES && mkdir -p $ARCHIVES && gzip -dc | tar -xf - -C $ARCHIVES --numeric-owner &&
		cd $ARCHIVES && env $VARIABLES $2" <"$1"
}

install_bootloader() {
	on_node "test -f $ROOT$KERNEL${INITRD:+ && test -f $ROOT$INITRD}"
	on_node "umask 077; mkdir -p $ROOT/root/.ssh; cat >>$ROOT/root/.ssh/authorized_keys" <"$KEY"
	on_node "cat >/tmp/install-grub && env $VARIABLES sh /tmp/install-grub 2>/dev/null" <"$WORK/install-grub"
	on_node "cat $ROOT/etc/ssh/ssh_host_ed25519_key.pub; sync" | cut -d ' ' -f 1,2 >"$WORK/host_key"
}

reboot_to_disk() {
	switch_profile "$WORK/disk.profile"
	on_node "umount $ROOT; sync; (sleep 0.2; exec reboot -f) </dev/null >/dev/null 2>&1 &"
	disconnect
	echo rebooted
	sleep 1 # until the miniOS is gone for sure; the firmware alone takes longer to come back
	local key=
	until [ "$key" = "$(<"$WORK/host_key")" ]; do
		wait_for_port
		key=$(ssh-keyscan -T 5 -t ed25519 "$ADDRESS" 2>/dev/null | cut -d ' ' -f 2,3) || true
	done
}

trap disconnect EXIT
boot_minios
echo boot
prepare_disk
echo disk
unpack_image
echo image
for index in "${!POST_INSTALLS[@]}"; do
	post_install "${POST_INSTALLS[$index]}" "${POST_INSTALL_SCRIPTS[$index]}"
done
echo post-install
install_bootloader
echo bootloader
reboot_to_disk
echo reboot
