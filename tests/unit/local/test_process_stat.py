# SPDX-License-Identifier: Apache-2.0
"""Stats of real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kadeploy.local.process_stat import read_stat


def test_the_name_of_the_program_may_hold_anything(tmp_path: Path) -> None:
    program = tmp_path / "a) S 1 (b"
    shutil.copy("/bin/sleep", program)
    child = subprocess.Popen([program, "60"], start_new_session=True)
    try:
        stat = read_stat(child.pid)
        assert (stat.session, stat.has_ended) == (child.pid, False)
        assert stat.start >= read_stat(os.getpid()).start
    finally:
        child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert read_stat(child.pid).has_ended

    child.wait()
    with pytest.raises((FileNotFoundError, ProcessLookupError)):
        read_stat(child.pid)
