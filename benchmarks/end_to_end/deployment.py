# SPDX-License-Identifier: Apache-2.0
"""One measured deployment on all nodes of a fleet, by the command as its users have it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import processors
from benchmarks.benchmark import MeasurementError
from benchmarks.lab import PROGRAMS, Lab
from benchmarks.processors import Reading, Use
from kadeploy.lab import services
from kadeploy.nodes import fold

from .path import StepRun


class DeploymentFailed(MeasurementError):
    """A deployment in which some node has failed: its time says nothing."""


@dataclass(frozen=True, slots=True)
class Measured:
    """``began`` and ``ended`` are the life of the process since the epoch.

    ``repeated``: why steps had to be done again, and how often. ``head``: kadeploy and what it has started.
    ``boot_server``: kadeploy-boot, meanwhile. ``readings``: of all processors, meanwhile.
    """

    began: float
    ended: float
    steps: Sequence[StepRun]
    repeated: Mapping[str, int]
    head: Use
    boot_server: Use
    readings: Sequence[Reading]


def deploy(lab: Lab) -> Measured:
    """Deploy fleet-min on all nodes, which are off; raises DeploymentFailed."""
    plan, wid = lab.plan, lab.directory / "wid"
    nodes = fold([node.name for node in plan.nodes])
    files: list[str | Path] = ["-k", lab.key, "--write-workflow-id", wid]
    argv: list[str | Path] = [PROGRAMS / "kadeploy", "-e", "fleet-min", "-m", nodes, *files]
    server = services.boot_service(plan)
    server_before = processors.use_of(server)
    with processors.Watch() as watch:
        began = time.time()
        head = _run(argv, lab)
        ended = time.time()
    server_after = processors.use_of(server)
    steps = lab.steps(wid.read_text().strip())
    return Measured(
        began,
        ended,
        steps=[StepRun(step.node, step.macro, step.micro, step.started_at, step.duration) for step in steps],
        repeated=Counter(f"{step.micro}: {step.reason}" for step in steps if not step.ok),
        head=head,
        boot_server=Use(server_after.seconds - server_before.seconds, server_after.peak_mb),
        readings=watch.readings,
    )


def _run(argv: Sequence[str | Path], lab: Lab) -> Use:
    """Run a command to its good end; what it and all that it has waited for have used."""
    log = lab.directory / "kadeploy.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, env=lab.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.stderr.write(log.read_text())
        raise DeploymentFailed(f"kadeploy exited with status {process.returncode}")
    return Use(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
