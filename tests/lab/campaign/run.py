# SPDX-License-Identifier: Apache-2.0
"""A round of deployments: carried out with all that goes wrong, and judged."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kadeploy.store import leases
from kadeploy.store.store import Store

from ..laboratory import PROGRAMS, Laboratory, Outcome, Run, until
from .scenario import Command, Outage, Round, Trouble
from .surroundings import Surroundings

ENVIRONMENT = "fleet-min"
END = 150.0  # seconds in which a command has ended, whatever happens
AFTERWARDS = 3.0  # seconds for an order of who should give none to show
FAKETIME = "*/faketime/libfaketimeMT.so.1"
BROKEN_OFF = ("interrupted", "held", "not started")  # the last one was killed while it planned
UNTRUE = re.compile(r"Traceback|unexpected error|Error:")  # what nobody may read


@dataclass
class Deployment:
    """A command with its trouble; `problems`: what was wrong with what it did and said."""

    lab: Laboratory
    command: Command
    run: Run
    clock: Path
    problems: list[str] = field(default_factory=list)

    @property
    def node(self) -> str:
        return self.command.node

    @property
    def wid(self) -> str:
        """Its workflow, '' if it has none yet."""
        path = self.run.directory / "wid"
        return path.read_text() if path.exists() else ""


def carry_out(lab: Laboratory, surroundings: Surroundings, round_: Round) -> list[str]:
    """Deploy, disturb, let go on what was broken off; returns what was not as it must be."""
    with ThreadPoolExecutor(len(round_.commands) + 1) as threads:
        deployments = [_start(lab, command) for command in round_.commands]
        began = time.monotonic()
        away = threads.submit(_disturb_all, surroundings, round_, began)
        waits = [threads.submit(_disturb, lab, deployment, began) for deployment in deployments]
        takers = {deployment.node: wait.result() for deployment, wait in zip(deployments, waits, strict=True)}
        away.result()
        ends = [threads.submit(_finish, one, takers[one.node], round_.outage) for one in deployments]
        for end in ends:
            end.result()
    found = [f"{one.node} ({one.command.trouble}): {text}" for one in deployments for text in one.problems]
    return [*found, *_left(lab, [one.node for one in deployments])]


def _start(lab: Laboratory, command: Command) -> Deployment:
    clock = lab.directory / f"clock-{command.node}"
    clock.write_text("+0\n")
    program: tuple[str | Path, ...] = (PROGRAMS / "kadeploy",)
    if command.trouble is Trouble.CLOCK:
        [library] = Path("/usr/lib").glob(FAKETIME)
        variables = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": clock,
            "FAKETIME_CACHE_DURATION": 1,  # seconds until a step is seen
            "FAKETIME_DONT_FAKE_MONOTONIC": 1,
            "DONT_FAKE_MONOTONIC": 1,
        }
        program = ("env", *(f"{name}={value}" for name, value in variables.items()), *program)
    run = lab.deploy(command.node, "-e", ENVIRONMENT, "--write-workflow-id", "wid", program=program)
    return Deployment(lab, command, run, clock)


def _disturb_all(surroundings: Surroundings, round_: Round, began: float) -> None:
    if round_.outage is Outage.NONE:
        return
    _sleep_until(began + round_.at)
    with surroundings.outage(round_.outage):
        time.sleep(round_.seconds)


def _disturb(lab: Laboratory, deployment: Deployment, began: float) -> Run | None:
    """Let its trouble come to a command; returns the command that has taken its node, if one has."""
    command, process = deployment.command, deployment.run.process
    _sleep_until(began + command.at)
    if process.poll() is not None:
        return None
    match command.trouble:
        case Trouble.KILL:
            process.kill()
        case Trouble.CLOCK:
            deployment.clock.write_text(f"{command.step}\n")
        case Trouble.STOP:
            with _stopped(deployment):
                time.sleep(command.seconds)
        case Trouble.LOSS:
            return _lose(lab, deployment)
    return None


@contextmanager
def _stopped(deployment: Deployment) -> Iterator[None]:
    process = deployment.run.process
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def _lose(lab: Laboratory, deployment: Deployment) -> Run | None:
    """Stop a command that works on its node, let another one deploy it, and look that this is all."""
    node, run = deployment.node, deployment.run
    until(
        lambda: run.process.poll() is not None or _lessee(lab, node) == deployment.wid != "",
        END,
        lambda: f"{node} was not taken",
    )
    with _stopped(deployment):
        if run.process.poll() is not None or not _lessee(lab, node):
            return None  # it had ended before
        taker = lab.deploy(node, "-e", ENVIRONMENT, "--force")
        outcome = taker.outcome(END)
        if ", which is stopped" in outcome.errors:
            return None  # in the middle of a write: nobody can take anything
        if outcome.status != 0:
            deployment.problems.append(f"--force did not deploy it:\n{outcome}")
            return None
        boot = lab.facts(taker, node).boot
    lost = run.outcome(END)
    if lost.status in (0, 130) or lost.ok or lost.ko != [node]:
        deployment.problems.append(f"it ended otherwise after the loss of its node:\n{lost}")
    time.sleep(AFTERWARDS)
    if lab.facts(taker, node).boot != boot:
        deployment.problems.append(f"who had lost it has booted it again:\n{lost}")
    return taker


def _finish(deployment: Deployment, taker: Run | None, outage: Outage) -> None:
    """Wait for the end of a command, let its workflow go on if it was broken off, and judge both."""
    lab, node = deployment.lab, deployment.node
    outcome = deployment.run.outcome(END)
    deployment.problems += _untruths(deployment, outcome, outage)
    try:
        until(lambda: not deployment.run.left_processes(), 5, lambda: "")
    except AssertionError:
        deployment.problems.append(f"left: {deployment.run.left_processes()}")
    final = taker or deployment.run
    if taker is None and outcome.status != 0:
        options = ["--resume", deployment.wid] if _goes_on(lab, deployment.wid) else ["-e", ENVIRONMENT]
        final = lab.deploy(node, *options)
        again = final.outcome(END)
        if again.status != 0 or again.ok != [node]:
            deployment.problems.append(f"{' '.join(options)} did not deploy it:\n{again}\nfirst:\n{outcome}")
            return
    try:
        lab.assert_deployed(final, node, root="/dev/vda4")
    except AssertionError as error:
        deployment.problems.append(f"it is not what was said: {error}")


def _untruths(deployment: Deployment, outcome: Outcome, outage: Outage) -> Iterator[str]:
    """What a command must not have said or done, whatever came to it."""
    node, trouble = deployment.node, deployment.command.trouble
    if UNTRUE.search(outcome.errors) or UNTRUE.search(outcome.log):
        yield f"no sentence for a user:\n{outcome}"
    if (outcome.status == 0) != (outcome.ok == [node]):
        yield f"status and node do not agree:\n{outcome}"
    if trouble is Trouble.KILL or trouble is Trouble.LOSS:
        return
    begun = bool(outcome.ko) or "Launching" in outcome.log
    harmless = outage in (Outage.NONE, Outage.BOOT) or (outage is not Outage.REPLACED and begun)
    if outcome.status != 0 and (harmless or outcome.status != 4):
        yield f"ended with {outcome.status}:\n{outcome}"


def _goes_on(lab: Laboratory, wid: str) -> bool:
    """Report that a workflow was broken off: its process is dead, or its nodes are held."""
    listed = json.loads(lab.command("kadeploy", "--list", "--json"))["workflows"]
    return any(one["wid"] == wid and one["state"] in BROKEN_OFF for one in listed)


def _lessee(lab: Laboratory, node: str) -> str:
    """Workflow that has a node, '' for none."""

    async def read() -> str:
        async with Store.open(lab.plan.store) as store:
            return (await leases.held(store, [node])).get(node, "")

    return asyncio.run(read())


def _left(lab: Laboratory, nodes: list[str]) -> Iterator[str]:
    """What must not be there any more when all have ended."""
    for node in nodes:
        if workflow := _lessee(lab, node):
            yield f"{node} is still in use by {workflow}"
    if (states := lab.node_states(*nodes)) != ["deployed"] * len(nodes):
        yield f"the states of the nodes are {states}"
    for one in json.loads(lab.command("kadeploy", "--list", "--json"))["workflows"]:
        if one["finished"] is None:
            yield f"{one['wid']} has not ended: {one['state']}"


def _sleep_until(moment: float, clock: Callable[[], float] = time.monotonic) -> None:
    time.sleep(max(moment - clock(), 0))
