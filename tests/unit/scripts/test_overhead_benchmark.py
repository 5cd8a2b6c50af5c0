# SPDX-License-Identifier: Apache-2.0
"""Whether the benchmark of overhead reads the processor time of the machine, or says that it cannot."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.lab import Lab
from benchmarks.overhead import report, run
from benchmarks.overhead.node import MeasuredNode
from benchmarks.overhead.run import PHASES, Run
from kadeploy.lab import processes
from kadeploy.lab.machine import record_of
from kadeploy.lab.plan import LabPlan

BUSY = "while True: pass"


@dataclass
class PlannedLab(Lab):
    """A lab of which only the plan is there."""

    @property
    def environment(self) -> dict[str, str]:
        return {}


@pytest.fixture
def node(short_directory: Path) -> MeasuredNode:
    """The machine of a lab, which is off."""
    state = short_directory / "state"
    plan = LabPlan("l", 1, state, short_directory, short_directory, short_directory)
    plan.nodes[0].directory.mkdir(parents=True)
    return MeasuredNode(PlannedLab("l", short_directory), plan)


@pytest.fixture
def switched_on(node: MeasuredNode) -> Iterator[None]:
    """The machine is on meanwhile, and computes."""
    with subprocess.Popen([sys.executable, "-c", BUSY]) as process:
        processes.write_record(str(record_of(node.plan.nodes[0].directory)), process.pid)
        yield
        process.kill()


@pytest.mark.usefixtures("switched_on")
def test_a_machine_that_is_on_has_processor_time(node: MeasuredNode) -> None:
    deadline = time.monotonic() + 10
    while node.processor_seconds() < 0.05:
        assert time.monotonic() < deadline, "a process that computes has no processor time"
        time.sleep(0.02)


def test_no_processor_time_at_the_end_of_a_run_is_a_failure(node: MeasuredNode) -> None:
    assert node.processor_seconds() == 0
    with pytest.raises(run.RunFailed, match="no processor time of node-1 can be read"):
        run._follow(node, ["true"], re.compile("rebooted"), node.lab.directory / "log")


def measured(machine: float) -> Run:
    """Phases of a second each, in which the machine has computed so long."""
    phases = dict.fromkeys(("start", *PHASES, "end"), 1.0)
    seen = {"minios": 0.1, "deployed": 0.2}
    return Run(8.0, phases, seen, dict.fromkeys(phases, machine), 0.5)


def test_processor_time_is_shown_of_qemu_only() -> None:
    figures = report.figures([measured(0.5)], [measured(0.25)], "qemu")
    assert figures["qemu_cpu_s"]["kadeploy"]["boot"] == [0.5] and figures["ratio"] == 1
    total = next(line for line in report.lines(figures) if line.startswith("total"))
    assert total.split() == ["total", "8.00", "8.00", "+0.00", "4.00", "2.00", "+2.00"]
    other = report.figures([measured(0.5)], [measured(0.25)], "container")
    assert "qemu_cpu_s" not in other and "of QEMU" not in "".join(report.lines(other))
