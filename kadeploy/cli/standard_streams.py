# SPDX-License-Identifier: Apache-2.0
"""Standard streams of a program: all three are there, and what becomes of them ends nothing.

A command whose product is its output writes it by ``say``, which raises OSError where that cannot be written.
One that does something writes by ``mention`` and ``tell``, and goes on.
"""

from __future__ import annotations

import io
import logging
import os
import select
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import click

from kadeploy.masking import masked
from kadeploy.terminal import printable


def open_missing() -> None:
    """Open those that the caller has closed, on /dev/null.

    Else a socket or the store would get their numbers, and the output of a program that is started.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # the lower ones are open: this gets the number
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115 - as long as the program
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False, encoding="utf-8")  # noqa: SIM115


def write_any_text() -> None:
    """Let what the coding of the locale does not have be written with escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def make_logs_safe() -> None:
    """Format safely what is logged where no operation takes it."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(SafeFormatter())


def safe(text: str) -> str:
    """Text without orders to a terminal, and without secrets."""
    return masked(printable(text))


class SafeFormatter(logging.Formatter):
    """Formatter of log records for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return safe(super().format(record))


def discard_output() -> None:
    """Throw away what is still to be written on standard output: it must not fail again when Python ends."""
    _discard(sys.stdout)


def lose_output(reason: str) -> None:
    """Tell that standard output cannot be written, and throw away what would still be."""
    discard_output()
    tell_problem(f"standard output cannot be written: {reason}")


def flush_errors() -> None:
    """Write what is still to be written on standard error: Python would exit with 120 where it fails."""
    try:
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def let_go_of_readers() -> None:
    """Open /dev/null in the place of pipes that nobody reads: they would end programs that inherit them."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a stream without a descriptor
            poll = select.poll()
            poll.register(stream.fileno(), 0)
            if any(happened & select.POLLERR for _, happened in poll.poll(0)):
                _discard(stream)


def say(text: str) -> None:
    """Write on standard output, as a terminal may get it; raises OSError."""
    click.echo(safe(text))


def mention(text: str) -> None:
    """Write on standard output; where it cannot be written, that is told, and the rest is lost."""
    try:
        say(text)
    except BrokenPipeError:  # the reader has seen enough
        discard_output()
    except OSError as error:
        lose_output(error.strerror or str(error))


def draw_again(text: str, *, last: bool) -> None:
    """Write in place of the line that stands on standard error, for a terminal."""
    _write_error(f"\r{safe(text)}" + ("\n" if last else ""))


def tell(text: str) -> None:
    """Write on standard error; where nobody can read that, the exit status must tell it."""
    _write_error(f"{safe(text)}\n")


def tell_problem(problem: str) -> None:
    """Tell of what went wrong and ends nothing, as errors are told."""
    tell(f"{Path(sys.argv[0]).name}: {problem}")


def _write_error(text: str) -> None:
    try:
        click.echo(text, nl=False, err=True)
    except OSError:
        _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    with suppress(
        OSError, ValueError
    ):  # a stream without a descriptor has nothing that is still to be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
