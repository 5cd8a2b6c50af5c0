# SPDX-License-Identifier: Apache-2.0
"""The classes of causes for which nodes fail, and to which of them an error belongs."""

from __future__ import annotations

import re
from enum import StrEnum

from kadeploy.errors import KadeployError, NodeError, PowerError, UnreachableError


class Cause(StrEnum):
    """Where to look first. The values are what users read, and what statistics are kept of.

    The engine itself knows but ``aborted`` and ``internal`` (``workflow.events``).
    """

    POWER = "power"
    FIRMWARE = "firmware/DHCP"
    NETWORK_BOOT = "TFTP/HTTP boot"
    KERNEL = "kernel"
    MINIOS = "miniOS"
    CONNECTION = "connection"
    DISK = "disk"
    BROADCAST = "broadcast"
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
        """What to try, where an error has no hint of its own."""
        return _ADVICE[self]


_ADVICE = {
    Cause.POWER: "switch the node by hand with the command of remoteops in the cluster's file",
    Cause.FIRMWARE: "look at the node's boot order, its cable, and the DHCP server's log",
    Cause.NETWORK_BOOT: "look whether kadeploy-boot runs, and at requests.jsonl beside the boot repository",
    Cause.KERNEL: "look at the node's console; boot.kernels and boot.kernel_params say what is booted",
    Cause.MINIOS: "look at the node's console; rebuild the miniOS with bin/build-deploy-env",
    Cause.CONNECTION: "look whether the node still runs, and at its console and its cable",
    Cause.DISK: "look at the disk, and at block_device and layout in the cluster's file",
    Cause.BROADCAST: "look at the network between the nodes; kadeploy --retry tries again",
    Cause.ENVIRONMENT: "correct the environment: kaenv -p prints its description",
    Cause.POST_INSTALL: "hold the node before it with --breakpoint, and run the script by hand",
    Cause.BOOTLOADER: "look at the node's console, and at the layout in the cluster's file",
    Cause.REBOOT: "look at the node's console; console_log in the cluster's file makes it evidence",
    Cause.VERIFICATION: "log in and look which system runs; a disk before the cluster's may be booted",
    Cause.CUSTOM: "look at the command of the custom step",
    Cause.SERVICE: "look at the configuration of this machine, and at its disk",
    Cause.ABORTED: "kadeploy --retry begins again where the node was",
    Cause.INTERNAL: "this is a defect: please report it with the log",
}

# What kernel and tools write when a disk is broken.
_BROKEN = re.compile(r"Input/output error|I/O error|Read-only file system|Structure needs cleaning")
_FULL = re.compile(r"No space left on device|Disk quota exceeded")

# Scripts of others: what they fill is not known to be the node's disk.
_SCRIPTS = (Cause.POST_INSTALL, Cause.CUSTOM)


class CausedError(NodeError):
    """A failure of which more is known than the step in which it happened."""

    def __init__(self, message: str, cause: Cause, *, evidence: str = "", hint: str = "") -> None:
        super().__init__(message, evidence=evidence, hint=hint)
        self.cause = cause


def cause_of(error: KadeployError, default: Cause) -> Cause:
    """The class of an error in a step whose failures are of the class ``default`` as a rule."""
    match error:
        case CausedError():
            return error.cause
        case PowerError():
            return Cause.POWER
        case UnreachableError():
            return Cause.CONNECTION
        case NodeError():
            return cause_by_text(f"{error.message}\n{error.evidence}", default)
        case _:
            return Cause.SERVICE


def cause_by_text(text: str, default: Cause) -> Cause:
    """The class of what a node has written: ``default``, unless it blames the disk."""
    full = default not in _SCRIPTS and _FULL.search(text) is not None
    return Cause.DISK if full or _BROKEN.search(text) is not None else default
