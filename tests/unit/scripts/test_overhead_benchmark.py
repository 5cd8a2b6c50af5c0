# SPDX-License-Identifier: Apache-2.0
"""Whether the benchmark of overhead reads the processor time of the machine, or says that it cannot."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.overhead import lab, run
from kadeploy.lab import processes
from kadeploy.lab.machine import record_of

BUSY = "while True: pass"


@pytest.fixture
def busy_machine(tmp_path: Path) -> Iterator[Path]:
    """The state directory of a lab whose machine is on and computes."""
    directory = tmp_path / "nodes" / "node-1"
    directory.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", BUSY]) as process:
        processes.write_record(str(record_of(directory)), process.pid)
        yield tmp_path
        process.kill()


def test_a_machine_that_is_on_has_processor_time(busy_machine: Path) -> None:
    deadline = time.monotonic() + 10
    while lab.machine_seconds(busy_machine) < 0.05:
        assert time.monotonic() < deadline, "a process that computes has no processor time"
        time.sleep(0.02)


def test_no_processor_time_at_the_end_of_a_run_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(run.RunFailed, match="no processor time of node-1 can be read"):
        run._follow(tmp_path, ["true"], re.compile("rebooted"), tmp_path / "log")
