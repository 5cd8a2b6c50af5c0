# SPDX-License-Identifier: Apache-2.0
"""Worked examples of a page: files and changes in it, which are carried out on a copy of the tree.

Below a heading of the second level,

    New file `kadeploy/power/shelly.py`:    with the code block behind it is a file that is not there yet;
    a code block ``diff``                   changes files that are there, each named behind ``+++``;
    a code block that begins ``bin/test``   says which tests must pass then.

A hunk of a diff begins with a bare ``@@``, for numbers of lines would be wrong after every other change. The
lines that it keeps and removes must be found, one below the other, at exactly one place of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HEADING = re.compile(r"^## (.+)$")
_FENCE = re.compile(r"^```(\w*)$")
_NEW_FILE = re.compile(r"^New file `([^`]+)`:$")
_RUN = "bin/test "
_CHANGED = "+++ "
_HUNK = "@@"

RENEW = """\
Renew it: in the block, replace the lines that begin with a blank or '-' by those that now stand at this place
of the file, as few as occur together nowhere else in it. If the example is another one by now, write that."""


class StaleExample(AssertionError):
    """A block of a page that cannot be carried out on this tree any more."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """``kept`` are lines of a file, ``wanted`` what is to stand there; ``line`` is its own in the page."""

    line: int
    kept: tuple[str, ...]
    wanted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """The hunks of one file, in order."""

    path: str
    hunks: tuple[Hunk, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """One section: ``files`` maps paths to contents of new files, ``tests`` are arguments of bin/test."""

    title: str
    files: dict[str, str]
    changes: tuple[Change, ...]
    tests: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file that is made or changed."""
        return tuple(dict.fromkeys([*self.files, *(change.path for change in self.changes)]))

    def count(self) -> tuple[int, int, int, int]:
        """Files of the product that are new, of the product that change, tests, and pages."""
        product = [path for path in self.paths if not path.startswith(("tests/", "docs/"))]
        new = sum(path in self.files for path in product)
        tests, pages = (sum(path.startswith(room) for path in self.paths) for room in ("tests/", "docs/"))
        return new, len(product) - new, tests, pages

    def apply(self, tree: Path, page: str) -> None:
        """Carry it out; raises StaleExample, which names the block by its line of ``page``."""
        for path, content in self.files.items():
            target = tree / path
            if target.exists():
                raise StaleExample(f"{page}: '{self.title}' makes the file {path}, which is there by now")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
        for change in self.changes:
            target = tree / change.path
            if not target.is_file():
                raise StaleExample(f"{page}: '{self.title}' changes {change.path}, which does not exist")
            target.write_text(self._changed(target.read_text(), change, page))

    def _changed(self, text: str, change: Change, page: str) -> str:
        lines = text.splitlines()
        for hunk in change.hunks:
            places = _places(lines, hunk.kept)
            if len(places) != 1:
                raise StaleExample(
                    f"{page}:{hunk.line}: this change of {change.path} in '{self.title}' does not apply any "
                    f"more: what it keeps and removes stands {_told(places)} in the file, not at one place\n"
                    + "\n".join(f"    {line}" for line in hunk.kept)
                    + f"\n{RENEW}"
                )
            lines[places[0] : places[0] + len(hunk.kept)] = hunk.wanted
        return "".join(f"{line}\n" for line in lines)


def _told(places: list[int]) -> str:
    return f"in lines {', '.join(str(place + 1) for place in places)}" if places else "nowhere"


def _places(lines: list[str], wanted: tuple[str, ...]) -> list[int]:
    if not wanted:
        return []
    return [start for start in range(len(lines)) if tuple(lines[start : start + len(wanted)]) == wanted]


def read(text: str) -> list[Example]:
    """The examples of a page; a section without new files and changes is none."""
    found: list[Example] = []
    for title, blocks in _sections(text):
        files: dict[str, str] = {}
        changes: list[Change] = []
        tests: list[str] = []
        for block in blocks:
            if block.path:
                files[block.path] = "".join(f"{line}\n" for line in block.lines)
            elif block.language == "diff":
                changes += _changes(block)
            elif block.lines and block.lines[0].startswith(_RUN):
                tests += " ".join(block.lines).replace("\\", "").split()[1:]
        if files or changes:
            found.append(Example(title, files, tuple(changes), tuple(tests)))
    return found


@dataclass(frozen=True, slots=True)
class _Block:
    """A code block: its language, the ``line`` of the page on which it begins, the new file that it is."""

    language: str
    line: int
    path: str
    lines: list[str]


def _sections(text: str) -> Iterator[tuple[str, list[_Block]]]:
    title, blocks = "", list[_Block]()
    opened: _Block | None = None
    path = ""
    for number, line in enumerate(text.splitlines(), 1):
        if opened is not None:
            if line == "```":
                opened = None
            else:
                opened.lines.append(line)
        elif fence := _FENCE.match(line):
            opened = _Block(fence[1], number, path, [])
            blocks.append(opened)
            path = ""
        elif heading := _HEADING.match(line):
            yield title, blocks
            title, blocks = heading[1], []
        elif line:
            new = _NEW_FILE.match(line)
            path = new[1] if new else ""
    yield title, blocks


def _changes(block: _Block) -> Iterator[Change]:
    path = ""
    hunks: list[tuple[int, list[str]]] = []
    for number, line in enumerate(block.lines, block.line + 1):
        if line.startswith(_CHANGED):
            if hunks:
                yield Change(path, tuple(_hunk(*hunk) for hunk in hunks))
            path, hunks = line.removeprefix(_CHANGED), []
        elif line == _HUNK:
            hunks.append((number, []))
        else:
            hunks[-1][1].append(line)
    yield Change(path, tuple(_hunk(*hunk) for hunk in hunks))


def _hunk(number: int, lines: list[str]) -> Hunk:
    """Of an empty line that is kept, editors take the blank."""
    marked = [(line[:1] or " ", line[1:]) for line in lines]
    kept = tuple(text for mark, text in marked if mark in " -")
    return Hunk(number, kept, tuple(text for mark, text in marked if mark in " +"))
