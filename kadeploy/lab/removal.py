# SPDX-License-Identifier: Apache-2.0
"""Removal of a lab, also after a crash."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

from kadeploy.lab import driver, labs, machine, network, processes
from kadeploy.lab.undo_log import UndoLog

GRACE_SECONDS = 3.0  # for a service to end by itself


def remove(name: str, state: Path, report: Callable[[str], None]) -> None:
    """Remove all things that the undo log in a state directory names, if they exist."""
    entries = UndoLog(state).entries()
    if state.is_dir():
        (state / machine.CLOSING).touch()  # from now on no BMC starts a machine
    # BMCs end before their machines, and each after the command that it runs.
    services = [entry.name for entry in entries if entry.kind == "process"]
    processes.stop_all(services, state=str(state), grace=GRACE_SECONDS)
    _stop_machines([Path(entry.name) for entry in entries if entry.kind == "machine"], state)
    lab = labs.load_plan(state)
    if lab is not None:
        driver.named(lab.driver).clear(lab)
    for entry in (entry for entry in entries if entry.kind == "namespace"):
        left = network.processes_in(entry.name)
        if left:
            report(f"left alone in {entry.name}: processes {' '.join(map(str, left))} are not the lab's")
        network.remove(entry.name)
    for entry in reversed([entry for entry in entries if entry.kind == "directory"]):
        if Path(entry.name).exists():
            shutil.rmtree(entry.name)
    if state.is_dir() and not any(path.name != machine.CLOSING for path in state.iterdir()):
        shutil.rmtree(state)  # the lab ended before the first entry of its undo log
    labs.forget(name)


def _stop_machines(records: Sequence[Path], state: Path) -> None:
    """End the processes of machines, those of each machine in the order of its driver's records."""
    existing = [record for record in records if record.parent.is_dir()]
    with ExitStack() as locks:
        for directory in dict.fromkeys(record.parent for record in existing):
            locks.enter_context(machine.locked(directory))
        order = list(dict.fromkeys(record.name for record in existing))
        existing.sort(key=lambda record: order.index(record.name))
        for _, group in groupby(existing, key=lambda record: record.name):
            processes.stop_all(map(str, group), state=str(state), grace=0)
