# SPDX-License-Identifier: Apache-2.0
"""Files of results: emptied when the options are read, appended to at the end, as Kadeploy3 does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kadeploy.errors import UsageError


def empty(path: Path | None) -> None:
    """Empty a file, if one is given; raises UsageError if it cannot be written."""
    if path is not None:
        try:
            path.write_text("", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def append_lines(path: Path | None, lines: Sequence[str]) -> None:
    """Append lines to a file, if one is given; raises OSError."""
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
