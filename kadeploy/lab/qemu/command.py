# SPDX-License-Identifier: Apache-2.0
"""Command line of a QEMU machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from kadeploy.config.firmware import FirmwareKind
from kadeploy.lab.hardware import DiskKind
from kadeploy.lab.plan import LabPlan, NodePlan
from kadeploy.lab.qemu.uefi_machine import VARIABLES

Accelerator = Literal["kvm", "tcg"]

PROGRAM = "qemu-system-x86_64"
OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE.fd")
OVMF_VARIABLES = Path("/usr/share/OVMF/OVMF_VARS.fd")
_DISKS: Mapping[DiskKind, str] = {"virtio": "virtio-blk-pci", "nvme": "nvme", "scsi": "scsi-hd"}


def arguments(plan: LabPlan, node: NodePlan, accelerator: Accelerator) -> list[str]:
    """Arguments of the machine, without the order of its boot devices, which its BMC appends."""
    return [
        PROGRAM,
        *("-name", f"{plan.name}/{node.name}"),
        *("-nodefaults", "-no-user-config"),
        *_processor(node, accelerator),
        *("-m", str(plan.memory)),
        *("-display", "none", "-vga", "none"),
        # A BIOS tries only the devices that the BMC orders, without a fallback.
        *("-boot", "strict=on"),
        *("-rtc", "base=utc,clock=host"),
        *("-device", "virtio-rng-pci"),
        *_firmware(node),
        *_network(node),
        *_disk(plan, node),
        *_console(node),
        *("-qmp", f"unix:{_escape(node.file('qmp.sock'))},server=on,wait=off"),
    ]


def _processor(node: NodePlan, accelerator: Accelerator) -> list[str]:
    machine = "pc" if node.firmware is FirmwareKind.BIOS else "q35"
    # Without graphics SeaBIOS and iPXE talk to the serial console, where the record is.
    common = ["-machine", f"{machine},graphics=off", "-smp", "1"]
    if accelerator == "kvm":
        return [*common, "-accel", "kvm", "-cpu", "host"]
    return [*common, "-accel", "tcg,tb-size=256", "-cpu", "max"]


def _firmware(node: NodePlan) -> list[str]:
    if node.firmware is FirmwareKind.BIOS:
        return []
    variables = _escape(node.file(VARIABLES))
    return [
        *("-drive", f"if=pflash,format=raw,readonly=on,file={OVMF_CODE}"),
        *("-drive", f"if=pflash,format=raw,file={variables}"),
    ]


def _network(node: NodePlan) -> list[str]:
    # The ROM is QEMU's default one, an iPXE: only that one gets the PCI ids of the card patched in, and
    # SeaBIOS ignores a ROM with other ids.
    return [
        *("-netdev", f"tap,id=wire0,ifname={node.tap},script=no,downscript=no"),
        *("-device", f"virtio-net-pci,id=net0,netdev=wire0,mac={node.mac}"),
    ]


def _disk(plan: LabPlan, node: NodePlan) -> list[str]:
    # cache=unsafe: the disk has to survive its machine, not the host.
    drive = f"if=none,id=drive0,format=raw,cache=unsafe,discard=unmap,file={_escape(node.file('disk'))}"
    device = f"{_DISKS[plan.disk_kind]},id=disk0,drive=drive0,serial=kalab"
    controller = ["-device", "virtio-scsi-pci"] if plan.disk_kind == "scsi" else []
    return ["-drive", drive, *controller, "-device", device]


def _console(node: NodePlan) -> list[str]:
    path, record = _escape(node.file("console.sock")), _escape(node.console)
    chardev = f"socket,id=console0,path={path},server=on,wait=off,logfile={record},logappend=on"
    return ["-chardev", chardev, "-serial", "chardev:console0"]


def _escape(path: Path) -> str:
    """Double commas, as QEMU's option syntax wants."""
    return str(path).replace(",", ",,")
