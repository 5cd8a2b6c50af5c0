# SPDX-License-Identifier: Apache-2.0
"""Programs of the miniOS, and how a work of this room ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

NOTE = "note: "  # begins lines of the output that are for the user
NO_ESP = 5  # exit status: the disk has no EFI system partition that can be used
_NOTHING_FOUND, _AMBIVALENT = 2, 8  # exit status of blkid
_LIMIT = 30.0  # seconds of a program that takes less than one; some firmware answers slowly, or never
_GRACE = 1.0  # seconds for the end of a program that was killed
_deadlines = [float("inf")]  # of time.monotonic(), the last one holds


class UefiFault(Exception):
    """Sentence about what cannot be done; ``status`` is the exit status of the work."""

    def __init__(self, sentence: str, status: int = 1) -> None:
        super().__init__(sentence)
        self.status = status


class AmbivalentContent(UefiFault):
    """Device with signatures of several kinds of content."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Bound the time of all programs that are run in it, together."""
    _deadlines.append(min(_deadlines[-1], time.monotonic() + seconds))
    try:
        yield
    finally:
        _deadlines.pop()


def output_of(*words: str) -> str:
    """Output of a program in its plain language; raises UefiFault where it fails or is missing."""
    status, stdout, stderr = _run(words)
    if status:
        said = [line for line in (stderr.strip() or stdout.strip()).splitlines() if line]
        reason = said[-1].strip() if said else f"exit status {status}"
        raise UefiFault(f"{words[0]} has failed: {reason}")
    return stdout


def _run(words: Sequence[str]) -> tuple[int, str, str]:
    """Exit status and both outputs of a program."""
    limit = min(_LIMIT, _deadlines[-1] - time.monotonic())
    if limit <= 0:
        raise UefiFault(f"no time was left for {words[0]}")
    try:
        program = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError as error:
        raise UefiFault(f"the miniOS has no {words[0]}") from error
    try:
        stdout, stderr = program.communicate(timeout=limit)
    except subprocess.TimeoutExpired as error:
        _abandon(program)
        raise UefiFault(f"{words[0]} did not end within {limit:.3g} s") from error
    return program.returncode, stdout, stderr


def _abandon(program: subprocess.Popen[str]) -> None:
    """Kill a program. One that waits in the kernel for a disk or a firmware does not end, and is left."""
    program.kill()
    with suppress(subprocess.TimeoutExpired):
        program.wait(_GRACE)
    for pipe in filter(None, (program.stdout, program.stderr)):
        pipe.close()


def probe(device: str) -> dict[str, str]:
    """Content of a device as of now, past all caches, by the names of blkid; empty for nothing.

    Raises AmbivalentContent where blkid does not want to say which of several kinds it is.
    """
    words = ("blkid", "-c", "/dev/null", "-p", "-o", "export", device)
    status, printed, stderr = _run(words)
    if status == _AMBIVALENT:
        raise AmbivalentContent(f"{device} has signatures of several kinds of content")
    if status not in (0, _NOTHING_FOUND):
        raise UefiFault(f"blkid cannot read {device}: {stderr.strip()}")
    pairs = (line.partition("=") for line in printed.splitlines())
    return {name: value for name, _, value in pairs}


def note(sentence: str) -> None:
    """Tell the user what did not succeed, and fails no node."""
    sys.stdout.write(f"{NOTE}{sentence}\n")


def carry_out(work: Callable[[str, list[str]], None]) -> None:
    """Run the work of this process: arguments are the directory of the ESP, the work's name, and its own."""
    directory, _, *arguments = sys.argv[1:]
    try:
        work(directory, arguments)
    except UefiFault as fault:
        sys.stderr.write(f"{fault}\n")
        sys.exit(fault.status)
    except OSError as error:
        sys.stderr.write(": ".join(filter(None, [error.filename, error.strerror])) + "\n")
        sys.exit(1)
