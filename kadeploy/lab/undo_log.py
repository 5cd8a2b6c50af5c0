# SPDX-License-Identifier: Apache-2.0
"""Undo log of a lab: the things to remove when the lab is taken down, also after a crash.

It is a file in the lab's state directory with one JSON object per line, which is on the disk before the thing
that it names exists.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["directory", "namespace", "process", "machine", "ready"]

FILE = "journal.jsonl"  # the name under which labs of earlier versions have it


@dataclass(frozen=True, slots=True)
class UndoEntry:
    """Thing to remove: path of a directory, of the record of a process or machine; name of a namespace.

    ``ready`` removes nothing: it says that the lab came up completely.
    """

    kind: Kind
    name: str


class UndoLog:
    """Undo log of the lab in this state directory."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE

    def announce(self, kind: Kind, name: str | Path) -> None:
        """Write an entry before the thing is made; the entry is on the disk when this returns."""
        self.announce_all([(kind, name)])

    def announce_all(self, things: Iterable[tuple[Kind, str | Path]]) -> None:
        """Write the entries of many things at once, as ``announce`` does."""
        with self._path.open("a", encoding="utf-8") as file:
            for kind, name in things:
                file.write(json.dumps({"kind": kind, "name": str(name)}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def entries(self) -> list[UndoEntry]:
        """Entries in their order, but for a line that a crash has cut short."""
        entries = []
        with contextlib.suppress(FileNotFoundError):
            for line in self._path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):
                    data = json.loads(line)
                    entries.append(UndoEntry(data["kind"], data["name"]))
        return entries

    def is_ready(self) -> bool:
        """True if the lab came up completely."""
        return any(entry.kind == "ready" for entry in self.entries())
