# SPDX-License-Identifier: Apache-2.0
"""A Ctrl-C is not lost, also where Python drops the exception."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from kadeploy.lab import interrupts

# A signal that arrives in a hook of os.fork: its KeyboardInterrupt is printed, and the program goes on.
PROGRAM = """
import os, signal
from kadeploy.lab import interrupts

os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.{name}))
with interrupts.recorded() as check:
    if os.fork() == 0:
        os._exit(0)
    print("went on", flush=True)
    try:
        check()
    except KeyboardInterrupt:
        print("told", flush=True)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_dropped_interrupt_is_told_by_the_check(name: str) -> None:
    argv = [sys.executable, "-c", PROGRAM.format(name=name)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.splitlines() == ["went on", "told"]
    assert "Exception ignored" in done.stderr


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in interrupts.NUMBERS]
    with pytest.raises(KeyboardInterrupt), interrupts.recorded() as check:
        check()
        os.kill(os.getpid(), signal.SIGTERM)
    assert [signal.getsignal(number) for number in interrupts.NUMBERS] == before
