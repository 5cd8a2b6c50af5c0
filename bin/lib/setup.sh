# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the programs of bin/ need on a bare Debian 12, and how they get it. Source messages.sh first.

# The one list of Debian packages, by what needs them.
# shellcheck disable=SC2034 # read by the programs that source this file
builder_packages=(mmdebstrap cpio zstd kmod openssh-client)
# shellcheck disable=SC2034
tool_packages=(ipmitool openssh-client zstd)
# shellcheck disable=SC2034
lab_packages=(qemu-system-x86 ipxe-qemu ovmf dnsmasq-base openipmi pxelinux syslinux-common iproute2 fdisk e2fsprogs
	dosfstools cpio zstd)
# shellcheck disable=SC2034
test_packages=(shellcheck xz-utils bzip2 git busybox curl wget)

# missing_packages PACKAGE...: prints those that dpkg does not have installed.
missing_packages() {
	local package
	for package; do
		[[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) = installed ]] ||
			printf '%s\n' "$package"
	done
}

apt_install() {
	DEBIAN_FRONTEND=noninteractive run_quietly apt-get install -y --no-install-recommends "$@"
}

# ensure_packages PACKAGE...: installs what is missing. The package lists are fetched only if apt does not know a name,
# as on a fresh machine, or if what they name is gone from the mirror.
ensure_packages() {
	local missing start=$EPOCHREALTIME
	mapfile -t missing < <(missing_packages "$@")
	((${#missing[@]})) || return 0
	[[ $(id -u) -eq 0 ]] || die "these Debian packages are missing and only root can install them: ${missing[*]}"
	say "installing Debian packages: ${missing[*]}"
	if ! apt-get install -s --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
		apt-get -qq update >&2 || die "apt-get update failed; see above"
	fi
	apt_install "${missing[@]}" 2>/dev/null || { apt-get -qq update >&2 && apt_install "${missing[@]}"; } ||
		die "these Debian packages could not be installed: ${missing[*]}"
	say "installed ${#missing[@]} packages in $(seconds_since "$start") s"
}

# ensure_venv: .venv in the checkout (the current directory) with everything of requirements.lock, checked by hash, and
# the project itself, editable. Skipped while the lock file is the one it was made from.
ensure_venv() {
	local stamp=.venv/.requirements.sha256 want start=$EPOCHREALTIME
	want=$(cat requirements.lock pyproject.toml | sha256sum | cut -d' ' -f1)
	[[ -f $stamp && $(<"$stamp") = "$want" ]] && return 0
	say "making .venv from requirements.lock"
	ensure_packages python3-venv
	[[ -x .venv/bin/pip ]] || /usr/bin/python3 -m venv --clear .venv || die "/usr/bin/python3 cannot make .venv"
	install_requirements || die "the Python packages of requirements.lock could not be installed; see above"
	printf '%s\n' "$want" >"$stamp"
	say "made .venv in $(seconds_since "$start") s"
}

install_requirements() {
	local pip=(run_quietly .venv/bin/python -m pip --disable-pip-version-check install)
	"${pip[@]}" --require-hashes -r requirements.lock &&
		"${pip[@]}" --no-build-isolation --no-deps --editable .
}
