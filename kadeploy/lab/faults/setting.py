# SPDX-License-Identifier: Apache-2.0
"""Settings of faults: parsed and checked before the first one is switched on."""

from __future__ import annotations

from dataclasses import dataclass

from kadeploy.errors import NotFoundError, UsageError
from kadeploy.lab.faults import marks
from kadeploy.lab.faults.kinds import FAULTS
from kadeploy.lab.plan import LabPlan, NodePlan


@dataclass(frozen=True, slots=True)
class Setting:
    """Kind of a fault with its value, '' for none."""

    kind: str
    value: str = ""

    def __str__(self) -> str:
        return marks.describe(self.kind, self.value)


def parse(text: str) -> Setting:
    """Setting of ``KIND`` or ``KIND=VALUE``; NotFoundError for unknown kinds, UsageError for wrong values."""
    kind, equals, value = text.partition("=")
    _check_kind(kind)
    fault = FAULTS[kind]
    if equals and not fault.parameter:
        raise UsageError(f"the fault {kind} takes no value", hint=f"write {kind}")
    if equals or (fault.parameter and not fault.is_optional):
        _check_value(kind, value)
    return Setting(kind, value)


def parse_kind(text: str) -> Setting:
    """Parse the ``KIND`` of a fault to switch off; raises NotFoundError, UsageError if it has a value."""
    kind, equals, _ = text.partition("=")
    _check_kind(kind)
    if equals:
        raise UsageError("a fault is switched off without its value", hint=f"write {kind}")
    return Setting(kind)


def _check_kind(kind: str) -> None:
    if kind not in FAULTS:
        raise NotFoundError(f"there is no fault '{kind}'", hint=f"there are {', '.join(FAULTS)}")


def _check_value(kind: str, value: str) -> None:
    fault = FAULTS[kind]
    if not value:
        raise UsageError(f"the fault {kind} needs a value", hint=f"write {fault.usage(kind)}")
    try:
        fault.check(value)
    except UsageError as error:
        raise UsageError(f"{kind}: {error.message}", hint=error.hint) from None


def check(lab: LabPlan, node: NodePlan, setting: Setting) -> None:
    """Raises NotFoundError where the node cannot have it, UsageError where it names the node itself."""
    check_lab(lab, setting)
    if FAULTS[setting.kind].names_node and setting.value == node.name:
        raise UsageError(f"{setting} of {node.name} is its own name", hint="give the name of another node")


def check_lab(lab: LabPlan, setting: Setting) -> None:
    """Raises NotFoundError where no node of the lab can have the fault."""
    fault = FAULTS[setting.kind]
    if lab.driver not in fault.drivers:
        known = [kind for kind, other in FAULTS.items() if lab.driver in other.drivers]
        raise NotFoundError(
            f"there is no fault '{setting.kind}' of {lab.driver} nodes", hint=f"there are {', '.join(known)}"
        )
    if fault.names_node:
        lab.node(setting.value)


def switch_on(lab: LabPlan, node: NodePlan, setting: Setting) -> None:
    """Break a node; the setting was checked."""
    marks.write(node.directory, setting.kind, setting.value)
    FAULTS[setting.kind].apply(lab, node)


def switch_off(lab: LabPlan, node: NodePlan, kind: str) -> None:
    """Mend a node, whatever the value."""
    marks.remove(node.directory, kind)
    FAULTS[kind].apply(lab, node)


def mend(lab: LabPlan, node: NodePlan) -> list[Setting]:
    """Switch all faults of a node off; returns those that were on."""
    found = [Setting(*pair) for pair in marks.read_all(node.directory).items()]
    for setting in found:
        switch_off(lab, node, setting.kind)
    return found
