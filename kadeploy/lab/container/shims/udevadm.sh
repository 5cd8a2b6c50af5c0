#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# udevadm of a container node, as much as grub asks: `udevadm info --query path --name DEVICE` prints the device's path
# in /sys. Grub reads from there where a partition begins; it would ask the disk, but loop devices have no geometry.
set -eu
for name; do :; done
path=$(readlink -f "/sys/class/block/${name##*/}")
printf '%s\n' "${path#/sys}"
