# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# DISK [DEVICE...]: makes the kernel know the partitions of a disk that somebody may have written, as far as
# they have changed, and waits for devices that are expected.

disk=$1
shift
if [ -b "$disk" ]; then # whoever wrote it may have made something else of the disk's name
    use_disk "$disk"
    update_partitions
fi
for device in "$@"; do
    wait_for_device "$device"
done
