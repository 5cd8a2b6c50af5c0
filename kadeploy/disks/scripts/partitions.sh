# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Functions that make the partitions the kernel knows those of the table on a disk; put in front of scripts.
#
# After somebody has written a disk, by sfdisk, dd or a script of a site, the kernel goes on with the old
# partitions. What is read through one of those is a piece of the new content, or the old one from a cache.

set -eu

fail() {
    echo "$1" >&2
    exit 1
}

# The disk that the functions below are about, by any of its names.
use_disk() {
    disk=$1
    [ -b "$disk" ] || fail "$disk is not a block device of this node"
    # What is in use, and what is in /sys, has the kernel's name of a device.
    kernel_device=$(readlink -f "$disk")
    entries=/sys/class/block/${kernel_device##*/}
}

# Prints numbers of the device $1 as "8:17", nothing if it is no block device.
device_numbers() {
    [ ! -b "$1" ] || printf '%d:%d\n' "0x$(stat -Lc %t "$1")" "0x$(stat -Lc %T "$1")"
}

# True if the device $1 is the disk or one of the partitions that the kernel knows.
is_on_disk() {
    numbers=$(device_numbers "$1")
    [ -n "$numbers" ] || return 1
    for file in "$entries/dev" "$entries"/*/dev; do
        [ -e "$file" ] && [ "$(cat "$file")" = "$numbers" ] && return
    done
    return 1
}

# Unmounts everything that is on the disk. What cannot be unmounted makes the next one who needs it fail.
stop_using_disk() {
    while read -r device _; do
        ! is_on_disk "$device" || umount --all-targets --recursive "$device" || true
    done </proc/self/mounts
    while read -r device _; do
        ! is_on_disk "$device" || swapoff "$device" || true
    done </proc/swaps
}

# Prints the path of the partition that has the directory $1 in /sys.
partition_path() {
    printf '/dev/%s\n' "${1##*/}" | tr ! /
}

# Prints NUMBER START SIZE, in sectors of 512 bytes, of each partition that the kernel knows.
known_partitions() {
    for entry in "$entries"/*/partition; do
        [ -e "$entry" ] || continue
        directory=${entry%/partition}
        echo "$(cat "$entry") $(cat "$directory/start") $(cat "$directory/size")"
    done
}

# Prints the same of each partition in the table on the disk, nothing if it has no table.
partitions_on_disk() {
    dd if="$disk" of=/dev/null bs=4096 count=1 2>/dev/null || fail "$disk cannot be read"
    partx --raw --noheadings --output NR,START,SECTORS,TYPE "$disk" 2>/dev/null |
        while read -r number start size type; do
            case $type in
                # Of an extended partition the kernel shows no more, so that nobody writes there.
                0x5 | 0xf | 0x85) [ "$size" -le 2 ] || size=2 ;;
            esac
            echo "$number $start $size"
        done
}

# True if the line $2 is one of those of $1.
has_line() {
    case "
$1
" in
        *"
$2
"*) return 0 ;;
    esac
    return 1
}

# True if partition $1 is mounted, or is a part of a volume, an array or an encrypted device.
is_in_use() {
    numbers=
    for entry in "$entries"/*/partition; do
        [ "$(cat "$entry")" = "$1" ] || continue
        numbers=$(cat "${entry%/partition}/dev")
        for holder in "${entry%/partition}"/holders/*; do
            [ ! -e "$holder" ] || return 0
        done
    done
    while read -r device _; do
        [ "$(device_numbers "$device")" != "${numbers:-none}" ] || return 0
    done </proc/self/mounts
    return 1
}

# The kernel keeps a partition that somebody has open, if only for a look, as a udev does that has seen it
# change: it is tried again for some seconds.
forget_partition() {
    attempts=0
    until failure=$(delpart "$disk" "$1" 2>&1); do
        attempts=$((attempts + 1))
        if [ "$attempts" -gt 50 ] || is_in_use "$1"; then
            fail "partition $1 of $disk cannot be forgotten: $failure"
        fi
        sleep 0.1
    done
}

# Erases what is known by its signature. An image may be smaller than its disk: a system that was there before
# would be found where a partition of the image reaches further than its bytes.
wipe_disk() {
    for entry in "$entries"/*/partition; do
        [ ! -e "$entry" ] || wipefs --all --force --quiet "$(partition_path "${entry%/partition}")"
    done
    wipefs --all --force --quiet "$disk"
}

# The second header of a GPT belongs to the end of the disk; that of an image is where the image ends. The disk
# also boots without, so that a miniOS whose sfdisk cannot move it fails nothing.
complete_gpt() {
    [ "$(blkid --probe --match-tag PTTYPE --output value "$disk")" = gpt ] || return 0
    said=$(sfdisk --quiet --no-tell-kernel --no-reread --relocate gpt-bak-std "$disk" 2>&1) ||
        echo "the second header of the GPT of $disk is not at its end: $said" >&2
}

# All old ones go before a new one comes: one that overlaps an old one would be refused.
forget_all_partitions() {
    while read -r number _; do
        [ -z "$number" ] || forget_partition "$number"
    done <<END
$(known_partitions)
END
}

# Makes the kernel know the partitions of the table, and leaves those alone that it knows as they are.
update_partitions() {
    wanted=$(partitions_on_disk)
    while read -r number start size; do
        [ -z "$number" ] || has_line "$wanted" "$number $start $size" || forget_partition "$number"
    done <<END
$(known_partitions)
END
    # partx reads the table itself, which works with kernels that have no parser for GPT.
    known=$(known_partitions)
    while read -r number start size; do
        [ -z "$number" ] || has_line "$known" "$number $start $size" ||
            partx --add --nr "$number" "$disk" || fail "the kernel takes no partition $number of $disk"
    done <<END
$wanted
END
    check_partitions
    wait_for_devices
}

# What partx has not complained about is compared all the same: a proof depends on it.
check_partitions() {
    known=$(known_partitions)
    while read -r line; do
        [ -z "$line" ] || has_line "$known" "$line" || fail "the kernel does not know partition ${line%% *} of $disk"
    done <<END
$wanted
END
}

# devtmpfs makes the devices at once; who makes them elsewhere, with the numbers of now, may need a moment.
wait_for_devices() {
    for entry in "$entries"/*/partition; do
        [ -e "$entry" ] || continue
        directory=${entry%/partition}
        path=$(partition_path "$directory")
        attempts=0
        until [ "$(device_numbers "$path")" = "$(cat "$directory/dev")" ]; do
            attempts=$((attempts + 1))
            [ "$attempts" -le 100 ] || fail "$disk has partition $(cat "$entry"), but $path does not appear"
            sleep 0.05
        done
    done
}

# The same for one device, by whatever name somebody expects it.
wait_for_device() {
    attempts=0
    until [ -b "$1" ]; do
        attempts=$((attempts + 1))
        [ "$attempts" -le 100 ] || fail "the partition table of $disk is written, but $1 does not appear"
        sleep 0.05
    done
}
