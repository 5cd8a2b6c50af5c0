# SPDX-License-Identifier: Apache-2.0
"""One measured deployment on all nodes of a fleet, by the command as its users have it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import processors
from benchmarks.lab import BIN
from benchmarks.processors import Reading, Use

from .path import StepRun


class DeploymentFailed(Exception):
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


def deploy(state: Path, count: int, key: Path, work: Path) -> Measured:
    """Deploy fleet-min on nodes that are off; raises DeploymentFailed."""
    wid, log = work / "wid", work / "kadeploy.log"
    nodes = f"node-[1-{count}]" if count > 1 else "node-1"
    argv = [BIN / "kadeploy", "-e", "fleet-min", "-m", nodes, "-k", key, "--write-workflow-id", wid]
    server = int((state / "kadeploy-boot.pid").read_text().split()[0])
    server_before = processors.use_of(server)
    with processors.Watch() as watch:
        began = time.time()
        head = _run(argv, log)
        ended = time.time()
    server_after = processors.use_of(server)
    steps, repeated = _steps(state / "kadeploy.sqlite", wid.read_text().strip())
    boot_server = Use(server_after.seconds - server_before.seconds, server_after.peak_mb)
    return Measured(began, ended, steps, repeated, head, boot_server, watch.readings)


def _run(argv: Sequence[str | Path], log: Path) -> Use:
    """Run a command to its good end; what it and all that it has waited for have used."""
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
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


def _steps(database: Path, wid: str) -> tuple[list[StepRun], Counter[str]]:
    """All that was done, from what kadeploy records of each deployment, and the reasons of what failed."""
    query = "SELECT node, macro, micro, started_at, duration, ok, reason FROM steps WHERE workflow_id = ?"
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        rows = connection.execute(query, (wid,)).fetchall()
    finally:
        connection.close()
    repeated = Counter(f"{micro}: {reason}" for _, _, micro, _, _, ok, reason in rows if not ok)
    return [StepRun(*row[:5]) for row in rows], repeated
