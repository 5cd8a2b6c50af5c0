# SPDX-License-Identifier: Apache-2.0
"""What a lab has made, written down before it is made, so that all of it can be taken away after a crash.

``ROOT/NAME`` is the lab's state directory, or a symbolic link to it where the user named another one.
The journal in it has one JSON object per line, on the disk before the thing that it announces exists.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kadeploy.errors import RefusedError
from kadeploy.lab.plan import ROOT, LabPlan, from_json

Kind = Literal["directory", "namespace", "process", "machine", "ready"]

LOCKS = Path("/run/kalab")
LOCK_SECONDS = 10.0
FILE = "journal.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing made: the path of a directory, of a process's or machine's record, a namespace's name."""

    kind: Kind
    name: str


class Journal:
    """The journal of the lab in this state directory."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE

    def announce(self, kind: Kind, name: str | Path) -> None:
        """To be called before the thing is made; on the disk when it returns."""
        self.announce_all([(kind, name)])

    def announce_all(self, things: Iterable[tuple[Kind, str | Path]]) -> None:
        """As announce, for many things that are about to be made."""
        with self._path.open("a", encoding="utf-8") as file:
            for kind, name in things:
                file.write(json.dumps({"kind": kind, "name": str(name)}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def entries(self) -> list[Entry]:
        """All that was announced; a line that a crash cut short announces nothing."""
        entries = []
        with contextlib.suppress(FileNotFoundError):
            for line in self._path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):
                    data = json.loads(line)
                    entries.append(Entry(data["kind"], data["name"]))
        return entries

    def is_ready(self) -> bool:
        """Whether the lab came up completely."""
        return any(entry.kind == "ready" for entry in self.entries())


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Nobody else makes or takes down the lab of this name; raises RefusedError after 10 s.

    The lock is inherited by a child until it executes its program: see processes.
    """
    LOCKS.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + LOCK_SECONDS
    with (LOCKS / f"{name}.lock").open("w", encoding="ascii") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RefusedError(
                        f"another kalab is making or taking down lab '{name}'",
                        hint="wait for it, or end it with Ctrl-C there",
                    ) from None
                time.sleep(0.05)
        yield


def register(name: str, state: Path) -> None:
    """Make the lab findable by its name, and its state directory, which only root may read."""
    ROOT.mkdir(parents=True, exist_ok=True)
    link = ROOT / name
    if state != link:
        link.unlink(missing_ok=True)
        link.symlink_to(state)
    state.mkdir(parents=True, mode=0o700, exist_ok=True)


def forget(name: str) -> None:
    """The counterpart of register, for a state directory that is gone."""
    link = ROOT / name
    if link.is_symlink():
        link.unlink()


def state_of(name: str) -> Path | None:
    """The state directory of the lab of this name, if there is such a lab."""
    link = ROOT / name
    if link.is_symlink():
        return link.readlink()
    return link if link.is_dir() else None


def names() -> list[str]:
    """All labs of this machine, also those that did not come up."""
    return sorted(path.name for path in ROOT.iterdir()) if ROOT.is_dir() else []


def save_plan(plan: LabPlan) -> None:
    """Keep the plan in the state directory, whole or not at all."""
    temporary = plan.state / "lab.json.new"
    temporary.write_text(plan.to_json(), encoding="utf-8")
    temporary.rename(plan.state / "lab.json")


def load_plan(state: Path) -> LabPlan | None:
    """The plan of the lab in this directory; None if it died before it kept one."""
    try:
        return from_json((state / "lab.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
