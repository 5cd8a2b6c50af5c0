# SPDX-License-Identifier: Apache-2.0
"""Driver of labs of container nodes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kadeploy.lab import memory, processes
from kadeploy.lab.container import cgroup, disk
from kadeploy.lab.container.machine import SYSTEM_RECORD
from kadeploy.lab.container.wire import Wire
from kadeploy.lab.machine import record_of
from kadeploy.lab.plan import PREFIX_LENGTH, LabPlan, NodePlan

if TYPE_CHECKING:
    from pyroute2 import IPRoute

_THREADS = 8  # the kernel is slow to remove a loop device, but removes many at once
# Programs of the miniOS that ours replace, as the shared kernel cannot do what they need.
SHIMS = {"kexec": "usr/sbin/kexec", "udevadm": "usr/bin/udevadm"}
# Programs that replace sshd while a node has the fault of that name.
FAULTY = {"minios-hang": "minios-hang.sh", "mute-sshd": "mute-sshd.py"}
SSHD = "usr/sbin/sshd"


class ContainerDriver:
    """Driver with one process for each node that is on; the process makes all else of the node."""

    tools = ("ip", "tc", "mount", "partx", "delpart", "blkid", "cpio", "zstd")
    packages = "iproute2 mount util-linux cpio zstd"
    firmware_asks_dhcp = False

    def prepare_lab(self, lab: LabPlan) -> str:
        """Write shims and faulty programs, layers of root file systems, and a place for unpacked initrds."""
        for name, path in SHIMS.items():
            _install(f"shims/{name}.sh", _shims(lab) / path)
        for kind, name in FAULTY.items():
            _install(f"faulty/{name}", _faulty(lab) / kind / SSHD)
        _systems(lab).mkdir()
        return "containers"

    def prepare_node(self, lab: LabPlan, node: NodePlan) -> dict[str, Any]:
        """Make the disk, and return the fields that the node's process reads."""
        disk.make(node.directory, lab.disk)
        options = lab.container
        wire = Wire(lab.namespace, node.tap, node.mac, node.address, PREFIX_LENGTH, options.rate)
        return {
            "argv": [sys.executable, "-s", "-S", "-m", "kadeploy.lab.container.node", str(node.directory)],
            "name": node.name,
            "address": node.address,
            "mac": node.mac,
            "wire": asdict(wire),
            "boot_url": lab.boot_file,
            "repository": str(lab.repository),
            "systems": str(_systems(lab)),
            "shims": str(_shims(lab)),
            "faulty": str(_faulty(lab)),
            "cgroup": str(group / node.name) if (group := _cgroup(lab)) else "",
            "boot_delay": options.boot_delay,
            "boot_spread": options.boot_spread,
            "seed": options.seed,
            "whole_files": options.whole_files,
        }

    def make_wire(self, route: IPRoute, node: NodePlan, bridge: int) -> None:
        """Do nothing: the node's process makes the wire at each boot."""

    def timeouts(self, lab: LabPlan) -> dict[str, str]:
        """Allow for the firmware's time, and for n sshds and n initrds on one host."""
        delay = lab.container.boot_delay + lab.container.boot_spread
        return {"reboot": f"{60 + delay:g} + n", "kexec": "60 + n"}

    def records(self, node: NodePlan) -> Sequence[Path]:
        """Name the node's process first: it would start the system again."""
        return [record_of(node.directory), node.directory / SYSTEM_RECORD]

    def processes(self, lab: LabPlan) -> dict[str, list[int]]:
        """Count the node's process, and all in the PID namespace of its system."""
        members = memory.namespace_members("pid")
        found = {}
        for node in lab.nodes:
            pid = processes.running(str(record_of(node.directory)))
            if pid is not None:
                first = processes.running(str(node.directory / SYSTEM_RECORD))
                space = memory.namespace(first, "pid") if first is not None else ""
                found[node.name] = [pid, *members.get(space, [])]
        return found

    def clear(self, lab: LabPlan) -> None:
        """Remove loop devices and cgroups that were made for the nodes."""
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(disk.forget, [node.directory for node in lab.nodes]))
        group = _cgroup(lab)
        if group is not None:
            cgroup.remove(group)


def _cgroup(lab: LabPlan) -> Path | None:
    """Cgroup of the lab, None if nodes see no cgroups."""
    hierarchy = cgroup.hierarchy()
    return None if hierarchy is None else hierarchy / lab.namespace


def _install(name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(resources.files(__package__).joinpath(name).read_bytes())
    target.chmod(0o755)


def _faulty(lab: LabPlan) -> Path:
    return lab.state / "faulty"


def _shims(lab: LabPlan) -> Path:
    return lab.state / "shims"


def _systems(lab: LabPlan) -> Path:
    return lab.state / "systems"
