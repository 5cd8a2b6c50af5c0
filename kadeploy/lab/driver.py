# SPDX-License-Identifier: Apache-2.0
"""Drivers of labs: the protocol of a kind of machine, and its implementations by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kadeploy.lab.plan import DriverName, LabPlan, NodePlan

if TYPE_CHECKING:
    from pyroute2 import IPRoute


class LabDriver(Protocol):
    """Driver that makes the machines of a lab; ``machine.Machine`` switches one that exists.

    ``tools``: programs that it runs, ``packages``: Debian packages of these programs.
    ``firmware_asks_dhcp``: the firmware finds nothing to boot if DHCP does not answer.
    """

    @property
    def tools(self) -> tuple[str, ...]: ...

    @property
    def packages(self) -> str: ...

    @property
    def firmware_asks_dhcp(self) -> bool: ...

    def prepare_lab(self, lab: LabPlan) -> str:
        """Make the files that all nodes share; returns the name of what the nodes run on, for the output."""

    def prepare_node(self, lab: LabPlan, node: NodePlan) -> dict[str, Any]:
        """Make the files of a machine, an empty disk first, and return the fields of its machine.json."""

    def make_wire(self, route: IPRoute, node: NodePlan, bridge: int) -> None:
        """Make the lab's end of the wire of a machine, if it exists while the machine is off."""

    def timeouts(self, lab: LabPlan) -> dict[str, str]:
        """Section ``timeouts`` of the cluster file: for ``reboot`` and ``kexec`` an expression of n each."""

    def records(self, node: NodePlan) -> Sequence[Path]:
        """Records of the processes of a machine, in the order in which to end them."""

    def processes(self, lab: LabPlan) -> dict[str, list[int]]:
        """Pids of all processes of each node that is on, by the name of the node."""

    def clear(self, lab: LabPlan) -> None:
        """Remove what ended processes have left outside of the state directory."""


def named(name: DriverName) -> LabDriver:
    """Driver of this name."""
    if name == "container":
        from kadeploy.lab.container.driver import ContainerDriver

        return ContainerDriver()
    from kadeploy.lab.qemu.driver import QemuDriver

    return QemuDriver()
