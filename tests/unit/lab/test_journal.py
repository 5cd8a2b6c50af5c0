# SPDX-License-Identifier: Apache-2.0
"""The journal of a lab, also after a crash in the middle of a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from kadeploy.errors import RefusedError
from kadeploy.lab import console, journal
from kadeploy.lab.journal import Entry, Journal


def test_entries_in_their_order(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    assert book.entries() == []
    book.announce("directory", tmp_path)
    book.announce("namespace", "kalab-x")
    assert book.entries() == [Entry("directory", str(tmp_path)), Entry("namespace", "kalab-x")]
    assert not book.is_ready()
    book.announce("ready", "x")
    assert book.is_ready()


def test_a_line_cut_short_announces_nothing(tmp_path: Path) -> None:
    Journal(tmp_path).announce("namespace", "kalab-x")
    with (tmp_path / journal.FILE).open("a") as file:
        file.write('{"kind": "proc')
    assert Journal(tmp_path).entries() == [Entry("namespace", "kalab-x")]


def test_the_lock_refuses_a_second_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LOCKS", tmp_path)
    monkeypatch.setattr(journal, "LOCK_SECONDS", 0.1)
    with journal.locked("x"), pytest.raises(RefusedError, match="lab 'x'"), journal.locked("x"):
        pass
    with journal.locked("x"):
        pass


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (b"", ""),
        (b"one\r\ntwo\r\n\r\n", "two"),
        (b"one\r\nlogin: ", "login:"),
        (b"Loading 5%\rLoading 10%", "Loading 10%"),
        (b"\x1b[0mred\n", "[0mred"),
        (b"name:\tnode-1\n", "name: node-1"),
        (b"x" * 9000 + b"\nlast \xff", "last \ufffd"),
    ],
)
def test_last_line_of_a_console(tmp_path: Path, record: bytes, line: str) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(record)
    assert console.last_line(path) == line
