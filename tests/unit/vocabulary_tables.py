# SPDX-License-Identifier: Apache-2.0
"""Tables of the documentation that are made of the vocabulary, of the kinds of events, and of the contract.

    python -m tests.unit.vocabulary_tables

writes them into their pages, each between the two marks of its name; bin/format does so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from kadeploy.vocabulary.deployment import MACRO_STEPS
from kadeploy.vocabulary.duration import Constant, Duration, LogNormal
from kadeploy.vocabulary.instance import InstanceEntry, MacroStepEntry
from kadeploy.vocabulary.micro_step import ClusterTimeout, MicroStepEntry
from kadeploy.vocabulary.power import POWER
from kadeploy.vocabulary.reboot import REBOOT
from kadeploy.vocabulary.scope import Scope
from kadeploy.workflow.event_kind import CONTENTS, EventValue
from tests.unit.route_table import routes

USERS = Path(__file__).parents[2] / "docs" / "users"
END = "<!-- end -->"
BLOCK = re.compile(
    rf"^<!-- (?P<name>[a-z-]+), written by bin/format -->\n.*?^{END}$", re.MULTILINE | re.DOTALL
)


def waits() -> Iterator[str]:
    """Headings and tables of the micro-steps of each instance; one for instances that have the same."""
    for macro in (*MACRO_STEPS, REBOOT, POWER):
        for steps, names in _by_micro_steps(macro).items():
            yield from ("", f"### {', '.join(names)}", "")
            yield "| micro-step | deadline | runs |"
            yield "|---|---|---|"
            yield from (f"| `{step.name}` | {_deadline(step)} | {_runs(step)} |" for step in steps)
    yield ""


def _by_micro_steps(macro: MacroStepEntry) -> dict[tuple[MicroStepEntry, ...], list[str]]:
    names: dict[tuple[MicroStepEntry, ...], list[str]] = {}
    for instance in macro.instances:
        names.setdefault(instance.micro_steps, []).append(instance.name)
    return names


def _deadline(step: MicroStepEntry) -> str:
    is_configured = isinstance(step.timeout, ClusterTimeout)
    return f"`timeouts.{step.timeout}`" if is_configured else f"{step.timeout:g}"


def _runs(step: MicroStepEntry) -> str:
    together = ", nodes together" if step.scope is Scope.SET else ""
    return step.condition.value + together + ("; counts in `windows.reboot.size`" if step.throttled else "")


def durations() -> Iterator[str]:
    """Table of the durations of micro-steps; an instance is named where it differs from those before it."""
    yield "| micro-step | median | spread |"
    yield "|---|---|---|"
    known: set[tuple[str, Duration]] = set()
    for instance in (instance for macro in MACRO_STEPS for instance in macro.instances):
        for step in instance.micro_steps:
            if (step.name, step.duration) in known:
                continue
            is_first = all(name != step.name for name, _ in known)
            known.add((step.name, step.duration))
            name = step.name if is_first else f"{instance.name}-{step.name}"
            yield f"| `{name}` | {_cells(step.duration)} |"


def _cells(duration: Duration) -> str:
    match duration:
        case Constant():
            return f"{duration.value:g} |"
        case LogNormal():
            return f"{duration.median:g} | {duration.spread:g}"
    return f"{duration.start:g} + image at {duration.rate:g} MB/s + {duration.hop:g} for each node |"


def instances() -> Iterator[str]:
    """Table of the instances of each macro-step."""
    yield "| macro-step | instances |"
    yield "|---|---|"
    for macro in MACRO_STEPS:
        yield f"| {macro.name} | {', '.join(map(_instance, macro.instances))} |"


def _instance(instance: InstanceEntry) -> str:
    if not instance.otherwise:
        return instance.summary
    return f"{instance.summary} ({instance.condition.value}; otherwise {instance.otherwise})"


def events() -> Iterator[str]:
    """Table of the kinds of events."""
    yield "| kind | what has happened | `nodes` | `data` |"
    yield "|---|---|---|---|"
    for kind, content in CONTENTS.items():
        yield f"| `{kind}` | {content.text} | {content.nodes} | {'; '.join(map(_value, content.data))} |"


def _value(value: EventValue) -> str:
    return f"`{value.name}`: {value.text}"


TABLES: dict[str, tuple[Path, Callable[[], Iterator[str]]]] = {
    "micro-steps": (USERS / "waits.md", waits),
    "durations": (USERS / "simulating.md", durations),
    "events": (USERS / "json.md", events),
    "instances": (USERS / "deploying.md", instances),
    "routes": (USERS / "rest.md", routes),
}


def renewed(text: str) -> str:
    """Text of a page with its tables as they should be."""

    def block(match: re.Match[str]) -> str:
        _, table = TABLES[match["name"]]
        return "\n".join([f"<!-- {match['name']}, written by bin/format -->", *table(), END])

    return BLOCK.sub(block, text)


if __name__ == "__main__":
    for page, _ in TABLES.values():
        page.write_text(renewed(page.read_text()))
