# SPDX-License-Identifier: Apache-2.0
"""Marks of the faults of a machine that are on: a file each, named by its kind, with its value.

BMC, firmware and process of the machine read them. Standard library only: a BMC is started anew for each
command.
"""

from __future__ import annotations

from pathlib import Path

DIRECTORY = "faults"  # below that of the machine


def value(machine: Path, kind: str) -> str | None:
    """Value of a fault, '' for one without; None while the fault is off."""
    try:
        return (machine / DIRECTORY / kind).read_text()
    except FileNotFoundError:
        return None


def write(machine: Path, kind: str, value: str) -> None:
    """Mark a fault as on, atomically."""
    new = machine / "fault.new"
    new.write_text(value)
    new.replace(machine / DIRECTORY / kind)


def remove(machine: Path, kind: str) -> None:
    """Mark a fault as off."""
    (machine / DIRECTORY / kind).unlink(missing_ok=True)


def read_all(machine: Path) -> dict[str, str]:
    """Values of all faults that are on by their kinds, sorted by kind."""
    kinds = sorted(path.name for path in (machine / DIRECTORY).iterdir())
    found = {kind: value(machine, kind) for kind in kinds}
    return {kind: text for kind, text in found.items() if text is not None}


def describe(kind: str, value: str) -> str:
    """Fault as users write it."""
    return f"{kind}={value}" if value else kind
