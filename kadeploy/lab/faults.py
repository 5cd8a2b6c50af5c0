# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a machine on purpose.

A fault is a file in the machine's ``faults`` directory, seen by whoever acts for the machine, and, where it
shows at once, something done to the machine when it is switched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kadeploy.config import namespace
from kadeploy.errors import NotFoundError
from kadeploy.lab import driver, machines
from kadeploy.lab.plan import DriverName, LabPlan, NodePlan


@dataclass(frozen=True, slots=True)
class Fault:
    """``switch`` does what shows at once, told whether the fault is on; ``drivers`` have this fault."""

    meaning: str
    switch: Callable[[LabPlan, NodePlan, bool], None]
    drivers: tuple[DriverName, ...] = ("qemu", "container")


def set_fault(lab: LabPlan, node: NodePlan, kind: str, *, on: bool) -> None:
    """Switch a fault of a machine on or off; raises NotFoundError for one that its driver has not."""
    known = [name for name, fault in FAULTS.items() if lab.driver in fault.drivers]
    if kind not in known:
        raise NotFoundError(
            f"there is no fault '{kind}' of {lab.driver} nodes", hint=f"there are {', '.join(known)}"
        )
    mark = node.directory / "faults" / kind
    if on:
        mark.touch()
    else:
        mark.unlink(missing_ok=True)
    FAULTS[kind].switch(lab, node, on)


def active(node: NodePlan) -> list[str]:
    """The faults of a machine that are on."""
    return sorted(path.name for path in (node.directory / "faults").iterdir())


def _by_mark(lab: LabPlan, node: NodePlan, on: bool) -> None:
    """BMC or firmware look at the mark themselves."""


def _hide_boot(lab: LabPlan, node: NodePlan, on: bool) -> None:
    driver.of(lab.driver).hide_boot(lab, [other.name for other in lab.nodes if "no-boot" in active(other)])
    machine = machines.of(node.directory)
    with machine.locked():
        if machine.pid is not None:
            machine.boot_order_changed()


def _plug(lab: LabPlan, node: NodePlan, on: bool) -> None:
    from kadeploy.lab import network  # pyroute2 takes 0.1 s to import

    namespace.enter(lab.namespace)
    network.set_link(node.tap, up=not on)


FAULTS = {
    "no-power": Fault("its BMC refuses to switch it", _by_mark),
    "no-boot": Fault("its firmware finds nothing to boot, from the next reboot on", _hide_boot),
    "link-down": Fault("its network cable is unplugged", _plug),
    "slow-boot": Fault("its firmware takes ten times as long (container nodes)", _by_mark, ("container",)),
}
