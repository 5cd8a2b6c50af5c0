# SPDX-License-Identifier: Apache-2.0
"""Processors that are busy, and what processes have used of them, by /proc."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import processors
from benchmarks.processors import Reading, Stat


def test_a_line_of_proc_stat() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    reading = processors.parse(f"cpu  {ticks} 0 {2 * ticks} {5 * ticks} {ticks} 0 0 {3 * ticks} 9999 0", 7.0)
    assert reading == Reading(time=7.0, busy=6.0, there=12.0)


READINGS = [Reading(0, 0, 0), Reading(1, 1, 2), Reading(2, 3, 4), Reading(3, 3.5, 6)]


def test_the_busy_share_is_of_all_processors() -> None:
    assert processors.busy_share(READINGS) == pytest.approx(3.5 / 6)
    assert processors.busy_share(READINGS[:1]) == 0


@pytest.mark.parametrize(
    ("started", "ended", "free"), [(0, 3, 2), (1, 2, 0), (0.5, 2.25, 0.75), (-5, 0.25, 0.25), (4, 5, 0)]
)
def test_free_are_the_times_that_are_not_saturated(started: float, ended: float, free: float) -> None:
    assert processors.free_seconds(READINGS, started, ended) == free


def test_a_process_has_used_something() -> None:
    used = processors.use_of(os.getpid())
    assert used.seconds > 0 and used.peak_mb > 1


# Computes for a fifth of a second in a child that is waited for, then says so and sleeps.
PARENT = """
import subprocess, sys, time
code = "import time\\nwhile time.process_time() < 0.2: pass"
subprocess.run([sys.executable, "-c", code], check=True)
print("done", flush=True)
time.sleep(60)
"""


def test_children_that_were_waited_for_count() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"done\n"
        assert processors.used([process.pid]) > 0.15, "counted in ticks"
        process.kill()
    assert processors.used([process.pid]) == 0, "it has ended"


def test_several_processes_are_added_up() -> None:
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    once = processors.used([os.getpid()])
    assert 0 < once <= processors.used([os.getpid(), os.getpid()]) / 1.9


def test_a_program_may_have_any_name(tmp_path: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    fields = f"S 3 7 7 0 -1 4194304 90 0 0 0 {ticks} {2 * ticks} {3 * ticks} {4 * ticks} 20 0 1"
    (tmp_path / "stat").write_text(f"7 (a (b) 1 2) {fields}\n")
    assert processors.read_stat(tmp_path) == Stat(parent=3, user=1.0, system=2.0, ended=7.0)
