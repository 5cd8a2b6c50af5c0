# SPDX-License-Identifier: Apache-2.0
"""The marks of the faults of a machine that are on: a file each, named by its kind, with its value.

Whoever acts for the machine looks at them: its BMC, its firmware, its process. Standard library only: a BMC
is started anew for each command.
"""

from __future__ import annotations

from pathlib import Path

DIRECTORY = "faults"  # below that of the machine


def value(machine: Path, kind: str) -> str | None:
    """The value of a fault, '' for one without; None while the fault is off."""
    try:
        return (machine / DIRECTORY / kind).read_text()
    except FileNotFoundError:
        return None


def put(machine: Path, kind: str, value: str) -> None:
    """Mark a fault as on; nobody ever reads half a value."""
    new = machine / "fault.new"
    new.write_text(value)
    new.replace(machine / DIRECTORY / kind)


def remove(machine: Path, kind: str) -> None:
    """Mark a fault as off."""
    (machine / DIRECTORY / kind).unlink(missing_ok=True)


def every(machine: Path) -> dict[str, str]:
    """The values of all faults that are on by their kinds, in the order of these."""
    kinds = sorted(path.name for path in (machine / DIRECTORY).iterdir())
    found = {kind: value(machine, kind) for kind in kinds}
    return {kind: text for kind, text in found.items() if text is not None}


def shown(kind: str, value: str) -> str:
    """A fault as users write it."""
    return f"{kind}={value}" if value else kind
