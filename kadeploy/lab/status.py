# SPDX-License-Identifier: Apache-2.0
"""Status of the machines of a lab."""

from __future__ import annotations

from dataclasses import dataclass

from kadeploy.lab import console, driver, machines, memory
from kadeploy.lab.faults import marks
from kadeploy.lab.plan import LabPlan, NodePlan


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """Status of a machine: ``power`` on or off, ``pid`` None when off, ``boot_device`` as last set.

    ``memory``: bytes of the node's processes, 0 when off.
    """

    name: str
    power: str
    pid: int | None
    memory: int
    address: str
    bmc: str
    boot_device: str
    faults: tuple[str, ...]
    console: str


def read(lab: LabPlan) -> list[NodeStatus]:
    """Status of each machine, by its process."""
    processes = driver.named(lab.driver).processes(lab)
    return [_read_node(node, memory.used(processes.get(node.name, []))) for node in lab.nodes]


def _read_node(node: NodePlan, used: int) -> NodeStatus:
    machine = machines.machine_in(node.directory)
    pid, device = machine.pid, machine.boot_device
    return NodeStatus(
        name=node.name,
        power="off" if pid is None else "on",
        pid=pid,
        memory=used,
        address=node.address,
        bmc=node.bmc_address,
        boot_device={"default": "disk"}.get(device, device),
        faults=tuple(marks.describe(*pair) for pair in marks.read_all(node.directory).items()),
        console=console.last_line(node.console),
    )
