# SPDX-License-Identifier: Apache-2.0
"""Ends of programs in words: their exit statuses, and the last line that they wrote.

A status is negative for the signal that killed the program, None where it was killed at its deadline.
"""

from __future__ import annotations


def describe_ending(status: int | None, timeout: float | None = None) -> str:
    """Clause of which the program is the subject: "exited with status 1"; ``timeout`` in seconds."""
    if status is None:
        return "did not end in time" if timeout is None else f"did not end within {timeout:g} s"
    return f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"


def label_ending(status: int) -> str:
    """Label for a line of its own: "exit status 1"."""
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"


def select_output(stdout: str, stderr: str) -> str:
    """Stream that tells why a program failed: stderr where it wrote to that, else stdout."""
    return stderr.strip() or stdout.strip()


def add_last_line(ending: str, written: str) -> str:
    """Ending with the last line that the program wrote, if it wrote any."""
    return f"{ending}: {last_line(written)}" if written.strip() else ending


def last_line(text: str) -> str:
    """Last line of a text, '' for none."""
    return text.strip().splitlines()[-1] if text.strip() else ""
