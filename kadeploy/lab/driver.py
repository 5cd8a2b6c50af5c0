# SPDX-License-Identifier: Apache-2.0
"""What a kind of node has to bring along: the protocol, and its implementations by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kadeploy.lab.plan import DriverName, LabPlan, NodePlan

if TYPE_CHECKING:
    from pyroute2 import IPRoute


class Driver(Protocol):
    """Makes the machines of a lab; what they do once they exist is ``machine.Machine``.

    ``tools``: programs that must be there, ``packages``: Debian packages that have them.
    ``firmware_asks_dhcp``: whether the firmware finds nothing to boot where DHCP has no answer.
    """

    @property
    def tools(self) -> tuple[str, ...]: ...

    @property
    def packages(self) -> str: ...

    @property
    def firmware_asks_dhcp(self) -> bool: ...

    def prepare_lab(self, lab: LabPlan) -> str:
        """Make what all nodes share, below the state directory; says in a word what the nodes run on."""

    def prepare_node(self, lab: LabPlan, node: NodePlan) -> dict[str, Any]:
        """Make what a machine has while it is off, an empty disk first; the fields of its machine.json."""

    def make_wire(self, route: IPRoute, node: NodePlan, bridge: int) -> None:
        """Make the end of a machine's wire in the lab, if it is there while the machine is off."""

    def timeouts(self, lab: LabPlan) -> dict[str, str]:
        """The cluster file's ``timeouts``: for ``reboot`` and ``kexec`` an expression of n each."""

    def records(self, node: NodePlan) -> Sequence[Path]:
        """Records of the processes that a machine may leave behind, in the order in which to end them."""

    def processes(self, lab: LabPlan) -> dict[str, list[int]]:
        """The pids of all processes of each node that is on, by its name."""

    def clear(self, lab: LabPlan) -> None:
        """Take away what ended processes have left outside of the state directory."""


def of(name: DriverName) -> Driver:
    """The driver of this name."""
    if name == "container":
        from kadeploy.lab.container.driver import ContainerDriver

        return ContainerDriver()
    from kadeploy.lab.qemu.driver import QemuDriver

    return QemuDriver()
