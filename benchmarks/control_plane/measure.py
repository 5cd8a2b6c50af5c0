# SPDX-License-Identifier: Apache-2.0
"""Seconds and client processor time of one run of each tool, cold and warm."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.benchmark import MeasurementError
from benchmarks.control_plane.fleet import ANSWER, COMMAND, Fleet

PATIENCE = 180.0  # seconds for one run of one tool


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: ``processor`` is the seconds that client processes used, on all processors."""

    method: str
    nodes: int
    warm: bool
    seconds: float
    processor: float


def by_library(method: str, program: Sequence[str], hosts: Sequence[str]) -> Iterator[Sample]:
    """Samples that a program takes of itself (kadeploy_client.py says how), the start of Python left out."""
    orders = json.dumps({"hosts": list(hosts), "command": list(COMMAND)})
    done = subprocess.run(
        program, input=orders, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if done.returncode != 0:
        raise MeasurementError(f"{method} exited with {done.returncode}: {done.stderr[-2000:]}")
    for figures, warm in zip(json.loads(done.stdout), (False, True), strict=True):
        _require_all(method, figures["answers"], hosts)
        yield Sample(method, len(hosts), warm, figures["seconds"], figures["processor"])


def by_command(
    method: str, arguments: Callable[[Sequence[str]], list[str]], hosts: Sequence[str], masters: Iterable[int]
) -> Sample:
    """One run of a tool that starts `ssh`; ``masters`` are processes that work for it, none when cold."""
    warm = bool(masters)
    _reap_orphans()
    began, processor = time.perf_counter(), _processor_seconds(masters)
    done = subprocess.run(
        arguments(hosts),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    seconds = time.perf_counter() - began
    _reap_orphans()
    _require_all(method, len(re.findall(rf"{ANSWER}$", done.stdout, re.MULTILINE)), hosts, done.stderr)
    return Sample(method, len(hosts), warm, seconds, _processor_seconds(masters) - processor)


def run_all(
    fleet: Fleet,
    hosts: Sequence[str],
    libraries: Mapping[str, Sequence[str]],
    commands: Mapping[str, Callable[[Sequence[str]], list[str]]],
) -> Iterator[Sample]:
    """Every tool once, cold and warm, on sshds that listen."""
    for method, program in libraries.items():
        yield from by_library(method, program, hosts)
    fleet.configure_clients(shared=False)
    for method, arguments in commands.items():
        yield by_command(method, arguments, hosts, [])
    if not commands:
        return
    with fleet.masters(hosts) as masters:
        fleet.configure_clients(shared=True)
        for method, arguments in commands.items():
            yield by_command(method, arguments, hosts, masters)


def _processor_seconds(masters: Iterable[int]) -> float:
    """Seconds of all children that have ended, and of these processes; the sshds are still running."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    nanoseconds = sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in masters)
    return ended.ru_utime + ended.ru_stime + nanoseconds / 1e9


def _reap_orphans() -> None:
    """Processes that a tool left behind have become ours; none of our own children ends by itself."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return


def _require_all(method: str, answers: float, hosts: Sequence[str], said: str = "") -> None:
    if answers != len(hosts):
        raise MeasurementError(f"{method} has answers of {answers} of {len(hosts)} nodes\n{said[-2000:]}")
