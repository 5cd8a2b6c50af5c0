# SPDX-License-Identifier: Apache-2.0
"""Driver of labs of QEMU machines."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kadeploy.config.firmware import FirmwareKind
from kadeploy.lab import processes
from kadeploy.lab.machine import record_of
from kadeploy.lab.plan import LabPlan, NodePlan
from kadeploy.lab.qemu import accelerator, command
from kadeploy.lab.qemu.uefi_machine import VARIABLES

if TYPE_CHECKING:
    from pyroute2 import IPRoute


class QemuDriver:
    """Driver with a QEMU process for each machine that is on, and a tap that exists all the time."""

    tools = ("qemu-system-x86_64",)
    packages = "qemu-system-x86 ipxe-qemu ovmf"
    firmware_asks_dhcp = True

    def __init__(self) -> None:
        self._accelerator: command.Accelerator = "tcg"

    def prepare_lab(self, lab: LabPlan) -> str:
        """Choose the accelerator, and return its name."""
        self._accelerator = accelerator.choose(lab.deploy_env / "vmlinuz")
        return self._accelerator

    def prepare_node(self, lab: LabPlan, node: NodePlan) -> dict[str, Any]:
        """Make disk and NVRAM, and return the command line and the firmware."""
        node.file("disk").touch(mode=0o600)
        os.truncate(node.file("disk"), lab.disk)
        if node.firmware is FirmwareKind.UEFI:
            shutil.copyfile(command.OVMF_VARIABLES, node.file(VARIABLES))
        return {"argv": command.arguments(lab, node, self._accelerator), "firmware": node.firmware}

    def make_wire(self, route: IPRoute, node: NodePlan, bridge: int) -> None:
        """Make a tap."""
        route.link("add", ifname=node.tap, kind="tuntap", mode="tap")
        route.link("set", index=route.link_lookup(ifname=node.tap)[0], master=bridge, state="up")

    def timeouts(self, lab: LabPlan) -> dict[str, str]:
        """Allow for n emulated machines on the host's processors."""
        return {"reboot": "120 + 30*n", "kexec": "120 + 30*n"}

    def records(self, node: NodePlan) -> Sequence[Path]:
        """Name the record of QEMU."""
        return [record_of(node.directory)]

    def processes(self, lab: LabPlan) -> dict[str, list[int]]:
        """Count QEMU, which is one process."""
        pids = {node.name: processes.running(str(record_of(node.directory))) for node in lab.nodes}
        return {name: [pid] for name, pid in pids.items() if pid is not None}

    def clear(self, lab: LabPlan) -> None:
        """Do nothing: all that QEMU makes ends with it."""
