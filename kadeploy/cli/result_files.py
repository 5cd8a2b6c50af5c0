# SPDX-License-Identifier: Apache-2.0
"""Files of results: emptied when the nodes of an operation begin, and appended to at its end.

So what is refused leaves the results of the operation before. Kadeploy3 emptied them when it had read its
options.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from kadeploy.errors import UsageError
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind


class ResultFiles:
    """Files of the results of one command; raises UsageError if one cannot be written.

    ``problems`` has a sentence for each that could not be written later.
    """

    def __init__(self, paths: Iterable[Path | None]) -> None:
        self.problems: list[str] = []
        self._paths = [path for path in paths if path is not None]
        self._emptied = False
        for path in self._paths:
            _check(path)

    def take(self, event: Event) -> None:
        """Empty the files when the nodes begin."""
        if event.kind is EventKind.STARTED:
            self.empty()

    def empty(self) -> None:
        """Empty the files; a second time does nothing."""
        if not self._emptied:
            self._emptied = True
            for path in self._paths:
                if path.is_file() or not path.exists():  # not a pipe, whose reader would see its end
                    self._write(path, "w", ())

    def append(self, path: Path | None, lines: Sequence[str]) -> None:
        """Append lines to a file, if one is given."""
        self.empty()
        if path is not None:
            self._write(path, "a", lines)

    def replace(self, path: Path | None, text: str) -> None:
        """Write a file whose former content is of no use, if one is given; it is not emptied any more."""
        if path is not None:
            self._paths = [other for other in self._paths if other != path]
            self._write(path, "w", [text])

    def _write(self, path: Path, mode: str, lines: Sequence[str]) -> None:
        try:
            with path.open(mode, encoding="utf-8") as file:
                file.writelines(lines)
        except OSError as error:
            problem = f"{path} cannot be written: {error.strerror}"
            if problem not in self.problems:
                self.problems.append(problem)


def _check(path: Path) -> None:
    """Raises UsageError for a file that cannot be written; neither makes nor changes it."""
    try:
        if path.is_file() or path.is_dir():
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC))
        elif not path.exists():
            _check_parent(path.absolute().parent)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _check_parent(folder: Path) -> None:
    os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(0, "its directory may not be written")
