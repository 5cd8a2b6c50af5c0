# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # disk and entries are set by partitions.sh
# DEVICE [ROOT]: prints the public ssh host keys of the system on DEVICE, one a line.
# ROOT is where it is mounted; without it the device (or each partition of a disk) is mounted read-only
# for as long as it takes. Keys are made where the mounted system has an ssh server without any.

root=${2:-}

if [ -n "$root" ]; then
    in_tree "$root" host_keys make </dev/null
    exit
fi

mountpoint=$(mktemp -d)
trap 'umount "$mountpoint" 2>/dev/null || :; rmdir "$mountpoint"' EXIT
use_disk "$1"
if [ ! -e "$entries/partition" ]; then # a partition has no partitions
    # An old one may overlap a new one, and a key of the system that was there before would count as proof.
    stop_using_disk
    forget_all_partitions
    update_partitions
fi
for candidate in $(lsblk -lnpo NAME "$disk"); do
    # noload: the journal of a file system that is only looked at is not to be replayed
    if mount -o ro,noload "$candidate" "$mountpoint" 2>/dev/null || mount -o ro "$candidate" "$mountpoint" 2>/dev/null; then
        in_tree "$mountpoint" host_keys </dev/null
        umount "$mountpoint"
    fi
done
