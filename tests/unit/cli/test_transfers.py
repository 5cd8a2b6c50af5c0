# SPDX-License-Identifier: Apache-2.0
"""What is seen of a broadcast: recorded events of four nodes in, lines of the log and the table out."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kadeploy.broadcast.interface import BroadcastProgress
from kadeploy.cli.display import Display
from kadeploy.cli.live import LiveTable
from kadeploy.cli.transcript import Transcript
from kadeploy.cli.transfers import LINE_INTERVAL, Transfers, place
from kadeploy.config.expression import Expression
from kadeploy.operations.plan import ClusterPlan
from kadeploy.operations.result import NodeResult, OperationResult
from kadeploy.operations.run import broadcast_events
from kadeploy.service.views.result import ResultView
from kadeploy.store.receptions import Reception
from kadeploy.vocabulary.scope import Scope
from kadeploy.workflow.automaton import Automaton, Gathering, Instance, MacroStep, MicroStep
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_data import TransferProgress
from kadeploy.workflow.event_kind import EventKind
from kadeploy.workflow.phase import Phase
from tests.unit.cli.told import cluster, node_ended, read_again, started, told

RECORDED = Path(__file__).parents[2] / "data" / "broadcasts" / "slow-consumer"
EVENTS = [
    (at, BroadcastProgress(*values))
    for at, *values in map(json.loads, (RECORDED / "transfers.jsonl").read_text().splitlines())
]
NODES = ("n1", "n2", "n3", "n4")
STEP = MicroStep("send_environment", Scope.SET, Expression("9"), "send_environment")
AUTOMATON = Automaton(
    (MacroStep("BroadcastEnv", (Instance("BroadcastEnvChain", (STEP,), Expression("0")),)),),
    Gathering(1, 0),
)
GROUP = cluster("red", "r", NODES, AUTOMATON)
OTHER = cluster("blue", "b", ("n9",), AUTOMATON)
MOVED = Reception(1.0, "n3", 1, 1, 50, 15.5, ok=True, moved=1, notes=("takes {3} MB/s",))
LOST = Reception(1.0, "n4", 0, 4, 7, 9.0, ok=False, moved=1, notes=("given up by n3: silent",))
PULLED = Reception(1.0, "n1", 0, 0, 50, 9.0, ok=True, notes=("fetched by wget",))


def begins(*nodes: str, cluster: str = "red") -> Event:
    return told(Event(EventKind.STEP_STARTED, 0.0, nodes, micro_step="send_environment"), cluster)


def ends(node: str) -> Event:
    data = {"attempt": 0, "started": 0.0, "seconds": 1.0}
    return told(Event(EventKind.STEP_ENDED, 1.0, (node,), micro_step="send_environment", data=data))


def transferring(at: float, transfer: BroadcastProgress, cluster: str = "red") -> Event:
    return read_again(told(broadcast_events.transferring([transfer]), cluster)._replace(at=at))


class Log:
    """A transcript of the recorded events."""

    def __init__(self, *groups: ClusterPlan[Any], level: int = 3) -> None:
        self.lines: list[str] = []
        self.transcript = Transcript(level, self.lines.append)
        self.transcript.take(started(*groups))

    def replay(self) -> list[str]:
        for at, transfer in EVENTS:
            self.transcript.take(transferring(at, transfer))
        self.transcript.flush()
        return [line for line in self.lines if "Broadcast:" in line]


async def test_lines_of_a_recorded_broadcast() -> None:
    log = Log(GROUP)
    log.transcript.take(begins(*NODES))
    assert log.replay() == (RECORDED / "lines.txt").read_text().splitlines()


async def test_each_cluster_has_lines_of_its_own() -> None:
    log = Log(GROUP, OTHER)
    log.transcript.take(begins(*NODES))
    log.transcript.take(begins("n9", cluster="blue"))
    assert {line[:18] for line in log.replay()} == {"[r]    * Broadcast"}


async def test_coarser_levels_have_no_lines() -> None:
    log = Log(GROUP, level=2)
    log.transcript.take(begins(*NODES))
    assert log.replay() == []


async def test_nodes_that_ended_are_not_counted_any_more() -> None:
    log = Log(GROUP)
    log.transcript.take(begins(*NODES))
    for node in NODES[:3]:
        log.transcript.take(ends(node))
    assert "of 1 node complete" in log.replay()[0]


def test_a_short_broadcast_and_one_that_is_complete_have_no_line() -> None:
    transfers = Transfers()
    transfers.begin(["n1"], 0.0)
    assert transfers.add([TransferProgress("n1", 5, 5, 9)], LINE_INTERVAL / 2) == ""
    assert transfers.add([TransferProgress("n1", 9, 9, 9)], 60.0) == ""
    assert transfers.add([TransferProgress("n9", 1, 1, 9)], 60.0) == "", "of another cluster"


def test_at_most_a_line_in_two_seconds() -> None:
    transfers = Transfers()
    transfers.begin(["n1"], 0.0)
    lines = [transfers.add([TransferProgress("n1", at, at, 100)], at / 10) for at in range(100)]
    assert [at for at, line in enumerate(lines) if line] == [20, 40, 60, 80]
    assert lines[20] == "Broadcast: 0 of 1 node complete, the slowest at 20 %, 10 B/s, 8 s left"


@pytest.mark.parametrize(
    ("transfer", "expected"),
    [
        (TransferProgress("n2", 5, 5, 9, "n1", 0, 2), "2 < n1"),
        (TransferProgress("n2", 5, 5, 9, "the head", 3, 1), "lane 3: 1 < the head"),
        (TransferProgress("n2", 5, 5, 9, "", 0, 2), "waiting"),
    ],
)
def test_the_place_of_a_node(transfer: TransferProgress, expected: str) -> None:
    assert place(transfer) == expected


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (1, []),
        (2, ["   * n4 was taken out of its chain: given up by n3: silent; then it failed, in lane 0"]),
        (
            3,
            [
                "   * n4 was taken out of its chain: given up by n3: silent; then it failed, in lane 0",
                "   * n3 was taken out of its chain: takes {3} MB/s; then it was ok, in lane 1",
                "   * fetched by wget: n1",
            ],
        ),
    ],
)
async def test_remarks_at_the_end(level: int, expected: list[str]) -> None:
    log = Log(GROUP, level=level)
    rows = [MOVED, LOST, PULLED, Reception(1.0, "n2", 0, 2, 50, 9.0, ok=True)]
    log.transcript.take(read_again(told(broadcast_events.received(rows))))
    log.transcript.flush()
    assert [line for line in log.lines if line.startswith("   *")] == expected


def drawn(until: float) -> str:
    """The table when the events up to a time have come."""
    table = LiveTable(Console(file=io.StringIO(), force_terminal=True, width=120, height=30))
    table.take(started(GROUP))
    table.take(begins(*NODES))
    for at, transfer in EVENTS:
        if at <= until:
            table.take(transferring(at, transfer))
    console = Console(file=io.StringIO(), width=120, height=30)
    console.print(table._draw())
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_the_table_shows_who_is_where() -> None:
    waits = [at for at, transfer in EVENTS if transfer.received and not transfer.upstream]
    middle, end = drawn(waits[len(waits) // 2]), drawn(60.0)
    assert "1 < the head" in middle and "3 < n1" in middle and "waiting" in middle
    assert "lane 1: 1 < the head" in end and "waiting" not in end


async def test_remarks_are_above_the_table_where_the_log_goes_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    display = Display(0, to_stderr=False, json_lines=False)
    display.take(told(broadcast_events.received([MOVED])))
    await display.close()
    assert "n3 was taken out of its chain: takes {3} MB/s" in terminal.getvalue()


def test_the_figures_in_the_document() -> None:
    nodes = (NodeResult("n3", Phase.OK, reception=MOVED), NodeResult("n2", Phase.KO))
    first, second = ResultView.of(OperationResult("D-1", 12.0, 2, nodes)).to_json()["nodes"]
    assert first["broadcast"] == {
        "ok": True,
        "bytes": 50,
        "seconds": 15.5,
        "rate": 3,
        "lane": 1,
        "position": 1,
        "moved": 1,
        "notes": ["takes {3} MB/s"],
    }
    assert "broadcast" not in second


def test_a_node_that_ended_has_no_place_any_more() -> None:
    table = LiveTable(Console(file=io.StringIO(), width=120))
    table.take(started(GROUP))
    table.take(transferring(*EVENTS[-1]))
    for node in NODES:
        table.take(node_ended(node, "ok"))
    console = Console(file=io.StringIO(), width=120)
    console.print(table._draw())
    assert "lane" not in console.file.getvalue()  # type: ignore[attr-defined]
