# SPDX-License-Identifier: Apache-2.0
"""A container node's console, which outlives the systems that hang it up."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from kadeploy.lab.container.console import Console


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Console]:
    """A console; signals are the test's own again afterwards."""
    monkeypatch.chdir(tmp_path)  # the name of a socket has 107 characters at most: unix(7)
    handler = signal.getsignal(signal.SIGCHLD)
    with contextlib.closing(Console(Path("record"), Path("socket"))) as console:
        yield console
    signal.signal(signal.SIGCHLD, handler)


def hang_up(console: Console) -> None:
    """Do as a getty does before it asks for a name."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        fcntl.ioctl(console.slave, termios.TIOCSCTTY, 0)
        os._exit(ctypes.CDLL(None, use_errno=True).vhangup() and ctypes.get_errno())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.root
def test_a_boot_writes_after_a_hang_up(console: Console, tmp_path: Path) -> None:
    hang_up(console)
    with pytest.raises(OSError, match="Input/output error"):
        os.write(console.slave, b"lost")
    console.reopen()
    os.write(console.slave, b"the next boot")
    console.serve(1, console.slave)
    assert (tmp_path / "record").read_text() == "the next boot"
