# SPDX-License-Identifier: Apache-2.0
"""Tree of the files of a tar archive, as it is when all of it is unpacked; links lead inside of it."""

from __future__ import annotations

import posixpath
import tarfile
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from kadeploy.terminal import printable_line

_INCREMENTAL_DIRECTORY = b"D"  # of tar --incremental: a directory with the list of what is in it
MAX_LINKS = 40  # as the kernel and the scripts of the miniOS have it


class FileKind(StrEnum):
    """Kind of a file, as far as a deployment tells them apart."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """Entry of a tree; ``target`` of a link, ``mode`` are the permissions."""

    kind: FileKind
    target: str = ""
    mode: int = 0


@dataclass(slots=True)
class Tree:
    """Tree that grows with each member; ``size``: bytes of all files, ``count`` of members."""

    size: int = 0
    count: int = 0
    _entries: dict[str, TreeEntry] = field(default_factory=dict)
    _places: dict[str, str | None] = field(default_factory=dict)  # of directories, links followed
    _shared: dict[TreeEntry, TreeEntry] = field(default_factory=dict)  # an image has a million files

    def add(self, member: tarfile.TarInfo) -> None:
        """Add the next member of the archive."""
        self.count += 1
        path = self.place(member.name)
        if path is None:
            return
        mode = member.mode & 0o7777
        if member.islnk():
            target = self._entries.get(self.place(member.linkname) or "")
            self._put(path, target or TreeEntry(FileKind.OTHER))
            return
        if member.issym():
            entry = TreeEntry(FileKind.LINK, member.linkname, mode)
        elif member.isdir() or member.type == _INCREMENTAL_DIRECTORY:
            entry = TreeEntry(FileKind.DIRECTORY, mode=mode)
        elif member.isreg():
            entry = TreeEntry(FileKind.FILE, mode=mode)
            self.size += _stored_size(member)
        else:
            entry = TreeEntry(FileKind.OTHER, mode=mode)
        self._put(path, self._shared.setdefault(entry, entry))

    def place(self, name: str) -> str | None:
        """Place of a member of this name: what is behind the link to a directory is in that directory.

        None for one that leads out of the tree. A link that is absolute, or leads upwards, tar makes only
        when all else is unpacked, so that no member can be behind it.
        """
        path = normal(name)
        if path is None:
            return None
        parent, _, last = path.rpartition("/")
        if parent not in self._places:
            self._places[parent] = self._resolve(parent, at_the_end=False)
        resolved = self._places[parent]
        return path if resolved is None else f"{resolved}/{last}".lstrip("/")

    def _put(self, path: str, entry: TreeEntry) -> None:
        former = self._entries.get(path)
        if FileKind.LINK in (entry.kind, former and former.kind):
            self._places.clear()
        self._entries[path] = entry

    @property
    def names(self) -> list[str]:
        """Names in the root of the tree."""
        return sorted({path.partition("/")[0] for path in self._entries if path})

    @property
    def files(self) -> list[str]:
        """Paths of all that is no directory."""
        return sorted(path for path, entry in self._entries.items() if entry.kind is not FileKind.DIRECTORY)

    def has_directory(self, path: str) -> bool:
        """Check for a directory, or a link in its place, also of one without an entry of its own."""
        entry = self._entries.get(path)
        if entry is not None:
            return entry.kind in (FileKind.DIRECTORY, FileKind.LINK)
        return any(other.startswith(f"{path}/") for other in self._entries)

    def find(self, path: str) -> tuple[str, TreeEntry] | None:
        """File at a path with all links followed, and where it is; None where there is none."""
        found = self._resolve(path)
        entry = self._entries.get(found) if found else None
        return (found, entry) if found and entry else None

    def _resolve(self, path: str, *, at_the_end: bool = True) -> str | None:
        rest = deque(path.split("/"))
        place: list[str] = []
        links = 0
        while rest:
            part = rest.popleft()
            if part in ("", "."):
                continue
            if part == "..":
                place = place[:-1]
                continue
            entry = self._entries.get("/".join([*place, part]))
            if entry is None or entry.kind is not FileKind.LINK:
                place.append(part)
                continue
            links += 1
            if links > MAX_LINKS:
                return None
            parts = entry.target.split("/")
            if not at_the_end and (parts[0] == "" or ".." in parts):
                return None
            if parts[0] == "":
                place = []
            rest.extendleft(reversed(parts))
        return "/".join(place)


def normal(name: str) -> str | None:
    """Path of a member below the root, fit for a terminal; None for one that leads out of it."""
    path = posixpath.normpath(f"/{printable_line(name)}").lstrip("/")
    return None if ".." in name.split("/") else path


def _stored_size(member: tarfile.TarInfo) -> int:
    """Bytes that a file takes of a disk: holes take none."""
    parts: list[tuple[int, int]] | None = getattr(member, "sparse", None)
    return member.size if parts is None else sum(count for _, count in parts)
