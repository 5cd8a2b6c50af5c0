# SPDX-License-Identifier: Apache-2.0
"""What is seen of a deployment: log lines, the live table, the lists at the end."""

from __future__ import annotations

import asyncio
import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from kadeploy.broadcast.interface import BroadcastProgress
from kadeploy.cli import verdict
from kadeploy.cli.live import LiveTable
from kadeploy.cli.transcript import LATENESS, Transcript
from kadeploy.config.expression import Expression
from kadeploy.errors import ExitStatus
from kadeploy.operations.result import NodeResult, OperationResult
from kadeploy.operations.run import broadcast_events, events
from kadeploy.service.views.result import ResultView
from kadeploy.vocabulary.scope import Scope
from kadeploy.vocabulary.workflow import State
from kadeploy.workflow.automaton import Automaton, Gathering, Instance, MacroStep, MicroStep
from kadeploy.workflow.event import Event
from kadeploy.workflow.failure import Failure
from kadeploy.workflow.phase import Phase
from kadeploy.workflow.state_machine import StateMachine
from kadeploy.workflow.transitions import Done, Started, Transition
from tests.unit.cli.told import cluster, ended, node_ended, read_again, started, told

STEPS = tuple(MicroStep(name, Scope.NODE, Expression("9"), name) for name in ("reboot", "sync"))
AUTOMATON = Automaton(
    (MacroStep("SetDeploymentEnv", (Instance("SetDeploymentEnvUntrusted", STEPS, Expression("0")),)),),
    Gathering(1, 0),
)
GROUP = cluster("red", "r", ("node-1", "node-2", "node-3"), AUTOMATON)
RESULT = OperationResult(
    "D-1",
    12.0,
    3,
    (
        NodeResult("node-1", Phase.OK, host_keys=("ssh-ed25519 A", "ecdsa B"), address="10.0.0.1"),
        NodeResult(
            "node-2",
            Phase.KO,
            "BroadcastEnvChain-sync",
            "the disk {is} full",
            "dd: [/dev/vda]\nno space",
            "disk",
        ),
        NodeResult("node-3", Phase.HELD, "BootNewEnvKexec-kexec"),
    ),
)


VIEW = ResultView.of(RESULT)


def life(*transitions: Transition) -> list[Event]:
    """Events of a machine's whole life."""
    machine = StateMachine(AUTOMATON)
    applied = [machine.apply(transition)[1] for transition in (Started(0, GROUP.nodes), *transitions)]
    return [started(GROUP), *(told(event) for events in applied for event in events), ended()]


async def lines(level: int, *transitions: Transition) -> list[str]:
    """The log of a machine's whole life, which is the same where it is read from the log of its events."""
    written: list[str] = []
    followed: list[str] = []
    here, elsewhere = Transcript(level, written.append), Transcript(level, followed.append)
    for event in life(*transitions):
        here.take(event)
        elsewhere.take(read_again(event))
    assert followed == written
    return written


GOOD = tuple(Done(at, task, f"node-{(task - 1) % 3 + 1}") for at, task in enumerate(range(1, 7), start=1))


QUICK = tuple(replace(done, at=done.at / 100) for done in GOOD)


async def test_equal_lines_are_gathered_by_the_times_of_their_events_wherever_they_are_read() -> None:
    at_once = await lines(1, *QUICK)
    assert [line for line in at_once if line.startswith("End of deployment")] == [
        "End of deployment for node-[1-3]"
    ]
    apart = tuple(replace(done, at=done.at + 0.3 * (done.node == "node-2")) for done in QUICK)
    assert [line for line in await lines(1, *apart) if line.startswith("End of deployment")] == [
        "End of deployment for node-1",
        "End of deployment for node-2",
        "End of deployment for node-3",
    ]


async def test_events_of_one_moment_that_are_read_late_are_one_line() -> None:
    written: list[str] = []
    transcript = Transcript(1, written.append, LATENESS)
    transcript.take(node_ended("node-1", "ok", 1.0))
    await asyncio.sleep(0.3)
    transcript.take(node_ended("node-2", "ok", 1.1))
    await asyncio.sleep(0.6)
    assert written == ["End of deployment for node-[1-2]"]


async def test_the_refusal_to_go_on_is_no_end() -> None:
    written: list[str] = []
    transcript = Transcript(5, written.append)
    transcript.take(told(events.ended(State.HELD, {}, 1.0, "the image has changed")))
    assert written == []


async def test_lines_are_folded_and_name_step_and_instance() -> None:
    found = await lines(4, *GOOD)
    assert found[:3] == [
        "Deployment #D-1 started",
        "Launching a deployment on node-[1-3]",
        "Performing a Deploy[SetDeploymentEnvUntrusted] step on node-[1-3]",
    ]
    assert "   ~ Time in SetDeploymentEnvUntrusted-reboot: 3s" in found
    assert found[-1] == "Deployment #D-1 done"
    assert [line for line in found if re.search("Time in", line)][-1].endswith("-sync: 5s")


async def test_levels_hide_what_is_finer() -> None:
    assert await lines(0, *GOOD) == [
        "Deployment #D-1 started",
        "Launching a deployment on node-[1-3]",
        "Deployment #D-1 done",
    ]
    assert not [line for line in await lines(3, *GOOD) if "Time in" in line]


async def test_a_warning_is_told_at_every_level_and_in_its_place() -> None:
    written: list[str] = []
    transcript = Transcript(0, written.append)
    for event in (started(GROUP), told(events.warning("the disk is full", "error")), ended()):
        transcript.take(read_again(event))
    assert written[-2:] == ["warning: the disk is full", "Deployment #D-1 done"]


async def test_the_end_of_what_was_broken_off_is_no_line() -> None:
    written: list[str] = []
    transcript = Transcript(5, written.append)
    transcript.take(told(events.ended(State.ABORTED, {}, 1.0)))
    assert written == []


async def test_who_comes_late_understands_what_follows() -> None:
    written: list[str] = []
    transcript = Transcript(1, written.append)
    table = LiveTable(Console(file=io.StringIO(), width=100, height=30))
    for event in life(*QUICK)[2:]:
        transcript.take(event)
        table.take(event)
    assert "End of deployment for node-[1-3]" in written
    assert set(table._rows) == set(GROUP.nodes)


async def test_equal_failures_are_one_line_whatever_is_in_them() -> None:
    failure = Failure("exit {status}\nof %s")
    found = await lines(2, Done(1, 1, "node-1", failure), Done(1, 3, "node-3", failure))
    assert "!!! The nodes node-[1,3] failed on step reboot: exit {status} of %s" in found


def test_who_waits_for_a_window_is_told_once_until_nobody_waits() -> None:
    written: list[str] = []
    transcript = Transcript(3, written.append)
    for nodes in (GROUP.nodes, GROUP.nodes[1:], (), GROUP.nodes[:1]):
        transcript.take(told(events.queued("reboot", nodes, 50)))
    assert written == [
        "  3 nodes wait for the reboot window (size 50)",
        "  1 node waits for the reboot window (size 50)",
    ]


def test_the_lists_that_scripts_parse() -> None:
    assert list(verdict.summary(VIEW)) == [
        "",
        "The deployment is successful on nodes",
        "node-1",
        "The deployment is held on nodes",
        "node-3 (BootNewEnvKexec-kexec)",
        "The deployment failed on nodes",
        "node-2 (BroadcastEnvChain-sync: the disk {is} full)",
    ]
    assert list(verdict.evidence(VIEW)) == [
        "node-2: [disk] BroadcastEnvChain-sync: the disk {is} full",
        "    dd: [/dev/vda]",
        "    no space",
        "failed: 1 disk (node-2)",
    ]
    assert list(verdict.known_hosts(VIEW)) == ["node-1,10.0.0.1 ssh-ed25519 A", "node-1,10.0.0.1 ecdsa B"]


@pytest.mark.parametrize(("reason", "keys"), [("", ["n,10.0.0.9 ssh-ed25519 M"]), ("was doubtful", [])])
def test_of_held_nodes_the_key_of_a_sure_minios_is_known(reason: str, keys: list[str]) -> None:
    held = NodeResult("n", Phase.HELD, reason=reason, address="10.0.0.9", minios_key="ssh-ed25519 M")
    view = ResultView.of(OperationResult("D-1", 1.0, 1, (held,)))
    assert list(verdict.known_hosts(view)) == keys


def test_totals_by_cause() -> None:
    ends = [
        (Phase.KO, "disk"),
        (Phase.KO, "power"),
        (Phase.OK, ""),
        (Phase.KO, "power"),
        (Phase.ABORTED, "aborted"),
        (Phase.KO, "power"),
    ]
    nodes = tuple(
        NodeResult(f"node-{number}", phase, "A-b", "broke" if cause else "", cause=cause)
        for number, (phase, cause) in enumerate(ends, start=1)
    )
    assert list(verdict.totals(ResultView.of(replace(RESULT, nodes=nodes)))) == [
        "failed: 3 power (node-[2,4,6]), 1 disk (node-1)"
    ]
    assert list(verdict.totals(ResultView.of(replace(RESULT, nodes=RESULT.nodes[:1])))) == []


def test_the_cause_is_in_the_document() -> None:
    assert [node.cause for node in VIEW.nodes] == ["", "disk", ""]


@pytest.mark.parametrize("enough", [0, 2, 3])
def test_enough_nodes(enough: int) -> None:
    expected = ExitStatus.OK if enough <= 2 else ExitStatus.NODES_FAILED
    assert verdict.exit_status(ResultView.of(replace(RESULT, enough=enough))) == expected, (
        "held nodes are where they were wanted"
    )


def test_the_live_table_draws_whatever_nodes_say() -> None:
    output = io.StringIO()
    table = LiveTable(Console(file=output, force_terminal=True, width=100, height=30))
    failure = Failure("no space on [/mnt/dest] [bold")
    before = life(Done(1, 3, "node-3", failure))[:-1]
    transfers = [
        BroadcastProgress("node-1", 5_000_000, 1_000_000, 10_000_000),
        BroadcastProgress("node-2", 10_000_000, 7_000_000, 10_000_000),
    ]
    after = [broadcast_events.transferring(transfers), events.queued("reboot", GROUP.nodes, 2)]
    with table:
        for event in (*before, *map(told, after)):
            table.take(read_again(event))
        console = Console(file=io.StringIO(), width=100, height=30)
        console.print(table._draw())
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert "2 running, 1 ko of 3 nodes" in drawn
    assert "3 nodes wait for the reboot window (size 2)" in drawn
    assert "5 MB 50%" in drawn and "unpacked 70%" in drawn
    assert "no space on [/mnt/dest] [bold" in drawn
