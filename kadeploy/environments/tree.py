# SPDX-License-Identifier: Apache-2.0
"""Tree of the files of a tar archive, as it is when all of it is unpacked; links lead inside of it."""

from __future__ import annotations

import posixpath
import tarfile
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from kadeploy.terminal import printable_line

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
    _shared: dict[TreeEntry, TreeEntry] = field(default_factory=dict)  # an image has a million files

    def add(self, member: tarfile.TarInfo) -> None:
        """Add the next member of the archive."""
        self.count += 1
        path = normal(member.name)
        if path is None:
            return
        mode = member.mode & 0o7777
        if member.islnk():
            target = self._entries.get(normal(member.linkname) or "")
            self._entries[path] = target or TreeEntry(FileKind.OTHER)
            return
        if member.issym():
            entry = TreeEntry(FileKind.LINK, member.linkname, mode)
        elif member.isdir():
            entry = TreeEntry(FileKind.DIRECTORY, mode=mode)
        elif member.isreg():
            entry = TreeEntry(FileKind.FILE, mode=mode)
            self.size += _stored_size(member)
        else:
            entry = TreeEntry(FileKind.OTHER, mode=mode)
        self._entries[path] = self._shared.setdefault(entry, entry)

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

    def _resolve(self, path: str) -> str | None:
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
            if entry.target.startswith("/"):
                place = []
            rest.extendleft(reversed(entry.target.split("/")))
        return "/".join(place)


def normal(name: str) -> str | None:
    """Path of a member below the root, fit for a terminal; None for one that leads out of it."""
    path = posixpath.normpath(f"/{printable_line(name)}").lstrip("/")
    return None if ".." in name.split("/") else path


def _stored_size(member: tarfile.TarInfo) -> int:
    """Bytes that a file takes of a disk: holes take none."""
    parts: list[tuple[int, int]] | None = getattr(member, "sparse", None)
    return member.size if parts is None else sum(count for _, count in parts)
