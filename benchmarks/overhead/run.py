# SPDX-License-Identifier: Apache-2.0
"""One timed deployment of either kind: when which phase ended, and when the node was seen to be back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.benchmark import MeasurementError
from benchmarks.lab import PROGRAMS
from benchmarks.overhead.node import MeasuredNode

SCRIPT = Path(__file__).with_name("by-hand.sh")
ANSWERS = Path(__file__).with_name("answers.py")
PHASES = ("boot", "disk", "image", "post-install", "bootloader", "reboot")

# Where a phase ends: the last of these steps that a run has gone through.
LAST_STEPS = {
    "boot": ("SetDeploymentEnv", ("wait_reboot",)),
    "disk": ("SetDeploymentEnv", ("format_swap_part",)),
    "image": ("BroadcastEnv", ("send_environment",)),
    "post-install": ("BroadcastEnv", ("manage_user_post_install",)),
    "bootloader": ("BroadcastEnv", ("sync",)),
    "reboot": ("BootNewEnv", ("wait_reboot",)),
}
KADEPLOY_REBOOTED = re.compile(r"\* (reboot|reboot_from_deploy_env) ended on")
BY_HAND_REBOOTED = re.compile(r"rebooted$")


class RunFailed(MeasurementError):
    """A run that did not deploy at the first attempt: its time says nothing."""


@dataclass(slots=True)
class Run:
    """Seconds. ``phases`` begin with ``start`` (until the first step) and end with ``end`` for kadeploy.

    ``seen``: how long after the first answer of its sshd the miniOS and the deployed system were known to
    be there. ``machine``: processor time of the emulated machine in each phase, which other load on the host
    hardly changes. ``tool``: processor time of the command and what it has waited for.
    """

    total: float
    phases: dict[str, float]
    seen: dict[str, float]
    machine: dict[str, float]
    tool: float
    steps: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that was printed, when, and how much processor time the emulated machine had had by then."""

    moment: float
    machine: float
    text: str


@dataclass(slots=True)
class _Followed:
    began: float
    ended: float
    tool: float
    lines: list[_Line]
    answers: list[float]

    def machine_at(self, moment: float) -> float:
        """Processor time of the machine when the next line came: kadeploy's come up to 0.2 s late."""
        later = (line.machine for line in self.lines if line.moment >= moment)
        return next(later, self.lines[-1].machine)


def by_kadeploy(node: MeasuredNode, environment: str) -> Run:
    """Deploy with the kadeploy command; raises RunFailed."""
    work = node.lab.directory
    wid = work / "wid"
    argv = [str(PROGRAMS / "kadeploy"), "-e", environment, "-m", node.name, "-k", str(node.lab.key)]
    argv += ["-V", "5", "--write-workflow-id", str(wid)]
    followed = _follow(node, argv, KADEPLOY_REBOOTED, work / "kadeploy.log")
    steps = node.lab.steps(wid.read_text().strip())
    if not all(step.ok for step in steps):
        raise RunFailed("kadeploy had to repeat a step: the times cannot be compared")
    spans = {(step.macro, step.micro): (step.started_at, step.started_at + step.duration) for step in steps}
    ends = {
        phase: max(end for (macro, micro), (_, end) in spans.items() if macro == wanted and micro in last)
        for phase, (wanted, last) in LAST_STEPS.items()
    }
    first = min(start for start, _ in spans.values())
    run = _run(followed, {"start": first, **ends, "end": followed.ended})
    run.steps = {f"{macro}-{micro}": end - start for (macro, micro), (start, end) in spans.items()}
    return run


def by_hand(node: MeasuredNode, inputs: Path) -> Run:
    """Deploy with the script; raises RunFailed."""
    argv = node.inside(["bash", str(SCRIPT), str(inputs)])
    followed = _follow(node, argv, BY_HAND_REBOOTED, node.lab.directory / "by-hand.log")
    ends = {line.text: line.moment for line in followed.lines if line.text in PHASES}
    return _run(followed, ends)


def _run(followed: _Followed, ends: dict[str, float]) -> Run:
    phases = _differences(followed.began, ends)
    machine = _differences(0.0, {phase: followed.machine_at(moment) for phase, moment in ends.items()})
    seen = {
        name: ends[phase] - answer
        for (name, phase), answer in zip(
            (("minios", "boot"), ("deployed", "reboot")), followed.answers, strict=True
        )
    }
    return Run(followed.ended - followed.began, phases, seen, machine, followed.tool)


def _differences(before: float, values: dict[str, float]) -> dict[str, float]:
    result = {}
    for name, value in values.items():
        result[name], before = value - before, value
    return result


def _follow(node: MeasuredNode, argv: list[str], rebooted: re.Pattern[str], log: Path) -> _Followed:
    """Run a command to its end, with a watch on the machine from each reboot on."""
    lines: list[_Line] = []
    environment = node.lab.environment
    before = os.times()
    began = time.time()
    with _watches(node) as watch:
        with subprocess.Popen(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    lines.append(_Line(time.time(), node.processor_seconds(), line.rstrip("\n")))
                    if rebooted.search(line):
                        watch()
            except BaseException:
                process.terminate()
                raise
        status = process.returncode
        ended, after = time.time(), os.times()
        log.write_text("".join(f"{line.moment:.3f} {line.text}\n" for line in lines))
        if status != 0:
            sys.stderr.write(log.read_text())
            raise RunFailed(f"{argv[0]} exited with status {status}")
        if node.processor_seconds() == 0:
            raise RunFailed(
                f"no processor time of {node.name} can be read, although the run has switched it on"
            )
        answers = watch.answers()
    tool = after.children_user + after.children_system - before.children_user - before.children_system
    return _Followed(began, ended, tool, lines, answers)


class _Watches:
    """A process of its own per boot, so that nothing of what is measured helps it to see."""

    def __init__(self, node: MeasuredNode) -> None:
        self._node = node
        self.processes: list[subprocess.Popen[str]] = []

    def __call__(self) -> None:
        """Begin to watch for the next boot."""
        argv = self._node.inside([sys.executable, "-I", "-S", str(ANSWERS), self._node.address])
        self.processes.append(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))

    def answers(self) -> list[float]:
        """One time per boot."""
        return [float(process.communicate(timeout=5)[0]) for process in self.processes]


@contextmanager
def _watches(node: MeasuredNode) -> Iterator[_Watches]:
    watches = _Watches(node)
    try:
        yield watches
    finally:
        for process in watches.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
