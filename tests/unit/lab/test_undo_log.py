# SPDX-License-Identifier: Apache-2.0
"""The undo log of a lab, also after a crash in the middle of a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from kadeploy.errors import RefusedError
from kadeploy.lab import console, labs, undo_log
from kadeploy.lab.undo_log import UndoEntry, UndoLog


def test_entries_in_their_order(tmp_path: Path) -> None:
    log = UndoLog(tmp_path)
    assert log.entries() == []
    log.announce("directory", tmp_path)
    log.announce("namespace", "kalab-x")
    assert log.entries() == [UndoEntry("directory", str(tmp_path)), UndoEntry("namespace", "kalab-x")]
    assert not log.is_ready()
    log.announce("ready", "x")
    assert log.is_ready()


def test_a_line_cut_short_announces_nothing(tmp_path: Path) -> None:
    UndoLog(tmp_path).announce("namespace", "kalab-x")
    with (tmp_path / undo_log.FILE).open("a") as file:
        file.write('{"kind": "proc')
    assert UndoLog(tmp_path).entries() == [UndoEntry("namespace", "kalab-x")]


def test_the_file_of_former_versions_is_read(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text('{"kind": "machine", "name": "/n/machine.pid"}\n')
    assert UndoLog(tmp_path).entries() == [UndoEntry("machine", "/n/machine.pid")]


def test_the_lock_refuses_a_second_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labs, "LOCKS", tmp_path)
    monkeypatch.setattr(labs, "LOCK_SECONDS", 0.1)
    with labs.locked("x"), pytest.raises(RefusedError, match="lab 'x'"), labs.locked("x"):
        pass
    with labs.locked("x"):
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
