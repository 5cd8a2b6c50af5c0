# SPDX-License-Identifier: Apache-2.0
"""Identities of processes: real ones."""

from __future__ import annotations

import os
import subprocess
import sys

from kadeploy.local.process import Process
from kadeploy.local.process_stat import read_stat


def test_processes_are_told_apart() -> None:
    own = Process.current()

    assert Process.parse(str(own)) == own
    assert not own.is_dead()
    assert Process(own.machine, own.boot, own.pid, own.start + 1).is_dead(), "the pid was used again"
    assert Process(own.machine, "another boot", own.pid, own.start).is_dead()
    assert not Process("another machine", own.boot, own.pid, own.start + 1).is_dead()


def test_a_zombie_has_ended() -> None:
    own = Process.current()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = Process(own.machine, own.boot, child.pid, read_stat(child.pid).start)
    assert not process.is_dead()

    assert child.stdin is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert process.is_dead()
    child.wait()
