# SPDX-License-Identifier: Apache-2.0
"""Kinds of faults: meaning, value, drivers whose nodes can have it, and immediate effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kadeploy.config import namespace
from kadeploy.lab import dhcp, driver, machines, processes
from kadeploy.lab.faults import marks, values
from kadeploy.lab.machine import CLAIMED_POWER, FAULTS_CHANGED, record_of
from kadeploy.lab.plan import DriverName, LabPlan, NodePlan

_BOTH: tuple[DriverName, ...] = ("qemu", "container")
_CONTAINER: tuple[DriverName, ...] = ("container",)


def _do_nothing(lab: LabPlan, node: NodePlan) -> None:
    """Do nothing: the BMC or the firmware reads the mark."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Kind of a fault. ``apply`` has its immediate effect after its mark has changed; ``drivers`` have it.

    ``parameter``: what its value is called, '' for a fault without one; ``check`` raises UsageError for a
    wrong value. ``names_node``: the value is the name of another node of the lab.
    """

    meaning: str
    drivers: tuple[DriverName, ...] = _BOTH
    parameter: str = ""
    check: Callable[[str], object] = str
    is_optional: bool = False
    names_node: bool = False
    apply: Callable[[LabPlan, NodePlan], None] = _do_nothing

    def usage(self, kind: str) -> str:
        """Kind as the help writes it, with its value."""
        value = f"={self.parameter}" if self.parameter else ""
        return f"{kind}[{value}]" if self.is_optional else f"{kind}{value}"


def _update_dhcp(lab: LabPlan, node: NodePlan) -> None:
    """Let the DHCP server read the marks; a running system keeps its lease."""
    names = {node.name: name for node in lab.nodes if (name := marks.value(node.directory, "duplicate-name"))}
    hidden = [node.name for node in lab.nodes if marks.value(node.directory, "no-boot") is not None]
    dhcp.change_hosts(lab, hidden if driver.named(lab.driver).firmware_asks_dhcp else (), names)


def _hide_boot(lab: LabPlan, node: NodePlan) -> None:
    _update_dhcp(lab, node)
    _apply_boot_order(lab, node)


def _apply_boot_order(lab: LabPlan, node: NodePlan) -> None:
    machine = machines.machine_in(node.directory)
    with machine.locked():
        if machine.pid is not None:
            machine.boot_order_changed()


def _plug(lab: LabPlan, node: NodePlan) -> None:
    from kadeploy.lab import network  # pyroute2 takes 0.1 s to import

    namespace.enter(lab.namespace)
    network.set_link(node.tap, up=marks.value(node.directory, "link-down") is None)


def _signal_node(lab: LabPlan, node: NodePlan) -> None:
    processes.send(str(record_of(node.directory)), FAULTS_CHANGED)


def _clear_claimed_power(lab: LabPlan, node: NodePlan) -> None:
    node.file(CLAIMED_POWER).unlink(missing_ok=True)


FAULTS = {
    "no-power": Fault("its BMC refuses to switch it"),
    "bmc-lies": Fault("its BMC says that it has obeyed, and does nothing", apply=_clear_claimed_power),
    "no-boot": Fault("its firmware finds nothing to boot, from the next boot on", apply=_hide_boot),
    "wrong-boot": Fault("its firmware ignores the network and boots the disk", apply=_apply_boot_order),
    "firmware-hang": Fault(
        "its firmware hangs, after so many boots that go well", _CONTAINER, "BOOTS", values.number, True
    ),
    "slow-boot": Fault("its firmware takes ten times as long", _CONTAINER),
    "late-boot": Fault("its firmware takes so much longer", _CONTAINER, "SECONDS", values.seconds),
    "lost-requests": Fault(
        "of its firmware's requests for files so many are lost, at each boot",
        _CONTAINER,
        "COUNT",
        values.number,
    ),
    "minios-hang": Fault("the miniOS that it boots never starts its sshd", _CONTAINER),
    "mute-sshd": Fault("the sshd of the miniOS takes connections and never answers", _CONTAINER),
    "disk-full": Fault(
        "from the next boot on an empty disk that fails once so much is written",
        _CONTAINER,
        "SIZE",
        values.size,
    ),
    "disk-read-only": Fault("its disk cannot be written, from the next boot on", _CONTAINER),
    "link-down": Fault("its network cable is unplugged", apply=_plug),
    "slow-link": Fault(
        "its link has this rate in both directions", _CONTAINER, "RATE", values.rate, apply=_signal_node
    ),
    "cut-link": Fault(
        "its cable is unplugged for a while, once its system has received so much",
        _CONTAINER,
        "SECONDS[@SIZE]",
        values.cut,
        apply=_signal_node,
    ),
    "duplicate-name": Fault(
        "DHCP gives it the name of that other node", _BOTH, "NODE", names_node=True, apply=_update_dhcp
    ),
}
