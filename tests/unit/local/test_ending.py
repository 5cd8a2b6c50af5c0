# SPDX-License-Identifier: Apache-2.0
"""Ends of programs in words."""

from __future__ import annotations

import pytest

from kadeploy.local.ending import add_last_line, describe_ending, label_ending, last_line, select_output


@pytest.mark.parametrize(
    ("status", "timeout", "words"),
    [
        (0, None, "exited with status 0"),
        (3, 30.0, "exited with status 3"),
        (-9, None, "was killed by signal 9"),
        (None, None, "did not end in time"),
        (None, 1.5, "did not end within 1.5 s"),
    ],
)
def test_how_a_program_ended(status: int | None, timeout: float | None, words: str) -> None:
    assert describe_ending(status, timeout) == words


def test_labels() -> None:
    assert (label_ending(7), label_ending(-15)) == ("exit status 7", "killed by signal 15")


def test_the_last_line_that_it_wrote() -> None:
    assert last_line("one\ntwo\n") == "two"
    assert last_line(" \n") == ""
    assert add_last_line("exited with status 1", "no disk\n\n") == "exited with status 1: no disk"
    assert add_last_line("exited with status 1", "\n") == "exited with status 1"


def test_stderr_tells_more_than_stdout() -> None:
    assert select_output("done\n", "trouble\n") == "trouble"
    assert select_output("done\n", " \n") == "done"
