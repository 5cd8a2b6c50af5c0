# SPDX-License-Identifier: Apache-2.0
"""Partition table: the input of sfdisk, and the one command that makes the table on a node."""

from __future__ import annotations

from dataclasses import dataclass

from kadeploy.disks.layout import MIB, DiskLayout, Partition

# disk, extraction directory, devices of the new partitions ...
# Standard input goes to sfdisk, everything before reads nothing.
_TEXT = """set -eu
disk=$1; extraction_directory=$2; shift 2

if ! [ -b "$disk" ]; then
    echo "$disk is not a block device of this node" >&2
    exit 1
fi

# What is in use has the kernel's name of a device, whatever link names the disk.
kernel_device=$(readlink -f "$disk")
entries=/sys/class/block/${kernel_device##*/}
is_on_disk() {
    case $1 in
        "$kernel_device") return 0 ;;
        /dev/*) [ -e "$entries/${1##*/}/partition" ] ;;
        *) return 1 ;;
    esac
}

# Stop using the disk. What cannot be unmounted makes wipefs refuse, with the reason.
umount --recursive "$extraction_directory" 2>/dev/null || true
while read -r device _; do
    ! is_on_disk "$device" || umount --all-targets --recursive "$device" || true
done </proc/self/mounts
while read -r device _; do
    ! is_on_disk "$device" || swapoff "$device" || true
done </proc/swaps

# The kernel forgets the old partitions first: a new one that overlaps an old one would be refused.
# It keeps one that somebody has open, if only for a look, as a udev does that has seen it change.
forget_partition() {
    attempts=0
    until failure=$(delpart "$disk" "$1" 2>&1); do
        attempts=$((attempts + 1))
        if [ "$attempts" -gt 50 ] || grep -q "^$2 " /proc/self/mounts; then
            echo "partition $1 of $disk cannot be forgotten: $failure" >&2
            exit 1
        fi
        sleep 0.1
    done
}
for entry in "$entries"/*/partition; do
    [ -e "$entry" ] || continue
    read -r number <"$entry"
    partition=${entry%/partition}
    forget_partition "$number" "/dev/${partition##*/}"
done

wipefs --all --force --quiet "$disk" </dev/null
# Telling the kernel is left to partx: it reads the table itself, which works with kernels that have no
# parser for GPT, and does it without the quarter of a second that sfdisk sleeps.
sfdisk --quiet --wipe always --wipe-partitions always --no-tell-kernel "$disk"
partx --add "$disk"

# devtmpfs makes the devices at once; a udev that renames them may need a moment.
for partition in "$@"; do
    attempts=0
    until [ -b "$partition" ]; do
        attempts=$((attempts + 1))
        if [ "$attempts" -gt 100 ]; then
            echo "the partition table is written, but $partition does not appear" >&2
            exit 1
        fi
        sleep 0.05
    done
done
"""


@dataclass(frozen=True, slots=True)
class Command:
    """Command to be run on a node: its argument list and standard input."""

    arguments: tuple[str, ...]
    input: bytes = b""


def create_partition_table(layout: DiskLayout, extraction_directory: str = "/mnt/dest") -> Command:
    """Command that makes the table of ``layout`` on its disk and waits for the devices of its partitions.

    Everything on the disk is lost. May be repeated as it is.
    """
    words = (
        "sh",
        "-c",
        _TEXT,
        "create_partition_table",
        layout.block_device,
        extraction_directory,
        *layout.devices(),
    )
    return Command(words, sfdisk_script(layout).encode())


def sfdisk_script(layout: DiskLayout) -> str:
    """GPT whose partitions begin on whole MiB, in sfdisk's own language."""
    lines = ["label: gpt", f"grain: {MIB}", "unit: sectors", ""]
    return "\n".join([*lines, *map(_entry, layout.partitions), ""])


def _entry(partition: Partition) -> str:
    fields = [f"type={partition.role.type_guid}", f'name="{partition.role.value}"']
    if partition.size is not None:
        fields.insert(0, f"size={partition.size // 1024}KiB")
    return f"{partition.number} : {', '.join(fields)}"
