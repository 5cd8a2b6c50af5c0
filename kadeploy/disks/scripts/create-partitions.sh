# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # disk and entries are set by partitions.sh
# DISK EXTRACTION_DIRECTORY ESP DEVICE...: makes the table that sfdisk reads on standard input, and waits for the
# devices of its partitions. ESP is the one of them that is an EFI system partition, - for none.

use_disk "$1"
extraction_directory=$2
esp=$3
shift 3

# What cannot be unmounted makes the kernel keep its partition, which fails with the reason.
umount --recursive "$extraction_directory" 2>/dev/null || true
stop_using_disk
forget_all_partitions

# Standard input goes to sfdisk, everything before reads nothing.
wipefs --all --force --quiet "$disk" </dev/null
# Telling the kernel is left to us: sfdisk sleeps a quarter of a second for that.
sfdisk --quiet --wipe always --wipe-partitions always --no-tell-kernel "$disk"
update_partitions </dev/null
for device in "$@"; do
    wait_for_device "$device"
done
# Post-installs write its UUID into the new system, which is before the bootloader's installation needs it.
if [ "$esp" != - ] && [ -d /sys/firmware/efi ]; then
    mkfs.vfat -F 32 "$esp" </dev/null >/dev/null
fi
