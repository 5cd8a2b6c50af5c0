# SPDX-License-Identifier: Apache-2.0
"""Text of files that people write: one rule for all of them.

It is UTF-8, with or without a byte order mark, and its lines end as those of Unix, Windows or old Macintoshes
do. Control characters are refused with their place. Those that only format a text are part of it:
``kadeploy.terminal`` shows none of them.
"""

from __future__ import annotations

import codecs
import re
import sys
from pathlib import Path

from kadeploy.errors import FileError, FileProblem, NotFoundError, UsageError

STANDARD_INPUT = "-"

_LINE_END = re.compile(r"\r\n|\r|\n")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
# Those of UTF-32 first: the one of UTF-16 is the beginning of one of them.
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def read(path: Path, max_bytes: int) -> bytes:
    """Content of a file; one byte more than ``max_bytes`` of one that is larger.

    Raises NotFoundError where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except (OSError, ValueError) as error:  # ValueError: no file system has such a name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise NotFoundError(f"{path} cannot be read: {reason}") from error


def read_argument(name: str, max_bytes: int) -> bytes:
    """Content of a file that a command line names, ``-`` for standard input.

    Raises NotFoundError where it cannot be read, UsageError where it is larger.
    """
    is_stream = name == STANDARD_INPUT
    content = sys.stdin.buffer.read(max_bytes + 1) if is_stream else read(Path(name), max_bytes)
    if len(content) > max_bytes:
        raise UsageError(f"{name} has more than {max_bytes} bytes")
    return content


def decode(content: bytes, path: str, *, any_comments: bool = False) -> str:
    r"""Text of a file, with ``\n`` at the end of each line; raises FileError with the place of what is none.

    ``any_comments``: letters in another coding are replaced, because none but those of comments may be there.
    """
    mark = next((mark for mark in _MARKS if content.startswith(mark)), None)
    if mark is not None:
        raise _refusal(path, f"{_MARKS[mark]} text, not UTF-8", 1, 1)
    try:
        text = content.decode("utf-8-sig", "replace" if any_comments else "strict")
    except UnicodeDecodeError as error:
        before, wrong = error.object[: error.start].decode(), error.object[error.start]
        raise _refusal(path, f"not UTF-8 text: byte {wrong:#x}", *_place(before)) from None
    if match := _CONTROL.search(text):
        problem = f"the control character U+{ord(match[0]):04X} is not allowed"
        raise _refusal(path, problem, *_place(text[: match.start()]))
    return "\n".join(lines(text))


def lines(text: str) -> list[str]:
    """Lines of a text, without their ends; the last one has no end."""
    return _LINE_END.split(text)


def _place(before: str) -> tuple[int, int]:
    """Line and column behind a text."""
    above = lines(before)
    return len(above), len(above[-1]) + 1


def _refusal(path: str, problem: str, line: int, column: int) -> FileError:
    return FileError([FileProblem(path, problem, line, column)], hint="save it as UTF-8 text")
