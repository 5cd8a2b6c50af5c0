# SPDX-License-Identifier: Apache-2.0
"""The classes of causes for which nodes fail."""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """Class of a failure: where to look first. Users read the values, and statistics are kept of them.

    The engine itself gives only ``aborted`` and ``internal``.
    """

    POWER = "power"
    FIRMWARE = "firmware/DHCP"
    NETWORK_BOOT = "TFTP/HTTP boot"
    KERNEL = "kernel"
    MINIOS = "miniOS"
    CONNECTION = "connection"
    DISK = "disk"
    BROADCAST = "broadcast"
    IMAGE = "image"
    ENVIRONMENT = "environment"
    POST_INSTALL = "post-install"
    BOOTLOADER = "bootloader"
    REBOOT = "reboot"
    VERIFICATION = "verification"
    CUSTOM = "custom"
    SERVICE = "service"
    ABORTED = "aborted"
    INTERNAL = "internal"

    @property
    def advice(self) -> str:
        """Hint for an error that has none of its own."""
        return _ADVICE[self]


_ADVICE = {
    Cause.POWER: "switch the node by hand with the command of remoteops in the cluster's file",
    Cause.FIRMWARE: "look at the node's boot order, its cable, and the DHCP server's log",
    Cause.NETWORK_BOOT: "look whether kadeploy-boot runs, and at requests/ beside the boot repository",
    Cause.KERNEL: "look at the node's console; boot.kernels and boot.kernel_params say what is booted",
    Cause.MINIOS: "look at the node's console; rebuild the miniOS with bin/build-deploy-env",
    Cause.CONNECTION: "look whether the node still runs, and at its console and its cable",
    Cause.DISK: "look at the disk, and at block_device and layout in the cluster's file",
    Cause.BROADCAST: "look at the network between the nodes; `retry` tries again",
    Cause.IMAGE: "leave files alone while they are sent, then deploy again: their digests are made anew",
    Cause.ENVIRONMENT: "correct the environment: `show_environment` prints its description",
    Cause.POST_INSTALL: "hold the node before it with `breakpoints`, and run the script by hand",
    Cause.BOOTLOADER: "look at the node's console, and at the layout in the cluster's file",
    Cause.REBOOT: "look at the node's console; console_log in the cluster's file makes it evidence",
    Cause.VERIFICATION: "log in and look which system runs; a disk before the cluster's may be booted",
    Cause.CUSTOM: "look at the command of the custom step",
    Cause.SERVICE: "look at the configuration of this machine, and at its disk",
    Cause.ABORTED: "`retry` begins again where the node was",
    Cause.INTERNAL: "this is a defect: please report it with the log",
}
