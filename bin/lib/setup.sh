# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the programs of bin/ need on a bare Debian 12, and how they get it. Source messages.sh first.

# The one list of Debian packages, by what needs them: a group, or a program or file that a test names in its marker
# `needs`.
fleet_packages="dnsmasq-base openipmi ipmitool openssh-client iproute2 procps fdisk e2fsprogs dosfstools cpio zstd"
declare -A packages_for=(
	[builders]="mmdebstrap cpio zstd kmod openssh-client"
	[fleet]=$fleet_packages
	[venv]=python3-venv
	[lab]="$fleet_packages qemu-system-x86 ipxe-qemu ovmf pxelinux syslinux-common grub-common grub-efi-amd64-bin"
	[/usr/lib/PXELINUX]="pxelinux syslinux-common"
	[/usr/lib/grub/x86_64-efi]=grub-efi-amd64-bin
	[busybox]=busybox
	[efibootmgr]=efibootmgr
	[faketime]=faketime
	[git]=git
	[grub-mkimage]=grub-common
	[cpio]=cpio
	[curl]=curl
	[ip]=iproute2
	[ipmi_sim]=openipmi
	[ipmitool]=ipmitool
	[mkfs.ext4]=e2fsprogs
	[mkfs.vfat]=dosfstools
	[ps]=procps
	[sfdisk]=fdisk
	[shellcheck]=shellcheck
	[ssh-keygen]=openssh-client
	[sshd]=openssh-server
	[systemd-analyze]=systemd
	[unshare]=util-linux
	[wget]=wget
	[xz]=xz-utils
	[zstd]=zstd
)

# ensure NEED...: installs what is missing of the packages for these needs.
ensure() {
	local need named packages=()
	for need; do
		read -ra named <<<"${packages_for[$need]-}"
		((${#named[@]})) || die "bin/lib/setup.sh names no package for $need"
		packages+=("${named[@]}")
	done
	ensure_packages "${packages[@]}"
}

# require NEED...: fails where a program or file of these is not there, and names each with its package.
require() {
	local need status=0
	for need; do
		# bash also finds a file that cannot be executed.
		[[ $need == /* && -e $need || -x $(command -v "$need") ]] || {
			say "error: $need is missing; its Debian package: ${packages_for[$need]-unknown}"
			status=1
		}
	done
	return $status
}

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

# ensure_venv: .venv in the checkout (the current directory) with everything of requirements-dev.lock, checked by hash,
# and the project itself, editable. Skipped while the lock and pyproject.toml are those it was made from.
ensure_venv() {
	local stamp=.venv/.requirements.sha256 want start=$EPOCHREALTIME
	want=$(cat requirements-dev.lock pyproject.toml | sha256sum | cut -d' ' -f1)
	[[ -f $stamp && $(<"$stamp") = "$want" ]] && return 0
	say "making .venv from requirements-dev.lock"
	[[ -x .venv/bin/pip ]] || run_quietly /usr/bin/python3 -m venv --clear .venv ||
		die "/usr/bin/python3 cannot make .venv; its Debian package: ${packages_for[venv]}"
	install_requirements || die "the Python packages of requirements-dev.lock could not be installed; see above"
	printf '%s\n' "$want" >"$stamp"
	say "made .venv in $(seconds_since "$start") s"
}

install_requirements() {
	local pip=(run_quietly .venv/bin/python -m pip --disable-pip-version-check install)
	"${pip[@]}" --require-hashes -r requirements-dev.lock &&
		"${pip[@]}" --no-build-isolation --no-deps --editable .
}
