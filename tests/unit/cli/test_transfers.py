# SPDX-License-Identifier: Apache-2.0
"""What is seen of a broadcast: recorded events of four nodes in, lines of the log and the table out."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

from kadeploy.broadcast.interface import BroadcastProgress
from kadeploy.cli.live import LiveTable
from kadeploy.cli.observers import Observers
from kadeploy.cli.transcript import Transcript
from kadeploy.cli.transfers import LINE_INTERVAL, Transfers, place
from kadeploy.config.expression import Expression
from kadeploy.operations.observer import ObservedCluster
from kadeploy.operations.result import NodeResult, OperationResult
from kadeploy.service.views.result import ResultView
from kadeploy.store.receptions import Reception
from kadeploy.vocabulary.scope import Scope
from kadeploy.workflow.automaton import Automaton, Gathering, Instance, MacroStep, MicroStep, Position
from kadeploy.workflow.notices import NodeEnded, StepEnded, StepStarted
from kadeploy.workflow.phase import Phase

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
GROUP = ObservedCluster("red", "r", NODES, AUTOMATON)
OTHER = ObservedCluster("blue", "b", ("n9",), AUTOMATON)
FIRST = Position(0, 0, 0)
MOVED = Reception(1.0, "n3", 1, 1, 50, 15.5, ok=True, moved=1, notes=("takes {3} MB/s",))
LOST = Reception(1.0, "n4", 0, 4, 7, 9.0, ok=False, moved=1, notes=("given up by n3: silent",))
PULLED = Reception(1.0, "n1", 0, 0, 50, 9.0, ok=True, notes=("fetched by wget",))


class Log:
    """A transcript on the clock of the recorded events."""

    def __init__(self, *groups: ObservedCluster, level: int = 3) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.transcript = Transcript(level, self.lines.append, lambda: self.now)
        self.transcript.started("D-1", groups)

    def begin(self, group: ObservedCluster, *nodes: str) -> None:
        self.transcript.noticed(group, StepStarted(0, nodes, FIRST))

    def replay(self) -> list[str]:
        for self.now, transfer in EVENTS:
            self.transcript.transferred(transfer)
        self.transcript.flush()
        return [line for line in self.lines if "Broadcast:" in line]


async def test_lines_of_a_recorded_broadcast() -> None:
    log = Log(GROUP)
    log.begin(GROUP, *NODES)
    assert log.replay() == (RECORDED / "lines.txt").read_text().splitlines()


async def test_each_cluster_has_lines_of_its_own() -> None:
    log = Log(GROUP, OTHER)
    log.begin(GROUP, *NODES)
    log.begin(OTHER, "n9")
    assert {line[:18] for line in log.replay()} == {"[r]    * Broadcast"}


async def test_coarser_levels_have_no_lines() -> None:
    log = Log(GROUP, level=2)
    log.begin(GROUP, *NODES)
    assert log.replay() == []


async def test_nodes_that_ended_are_not_counted_any_more() -> None:
    log = Log(GROUP)
    log.begin(GROUP, *NODES)
    for node in NODES[:3]:
        log.transcript.noticed(GROUP, StepEnded(1, node, FIRST, 0, 0, None))
    assert "of 1 node complete" in log.replay()[0]


def test_a_short_broadcast_and_one_that_is_complete_have_no_line() -> None:
    transfers = Transfers()
    transfers.begin(["n1"], 0.0)
    assert transfers.add(BroadcastProgress("n1", 5, 5, 9), LINE_INTERVAL / 2) == ""
    assert transfers.add(BroadcastProgress("n1", 9, 9, 9), 60.0) == ""
    assert transfers.add(BroadcastProgress("n9", 1, 1, 9), 60.0) == "", "of another cluster"


def test_at_most_a_line_in_two_seconds() -> None:
    transfers = Transfers()
    transfers.begin(["n1"], 0.0)
    lines = [transfers.add(BroadcastProgress("n1", at, at, 100), at / 10) for at in range(100)]
    assert [at for at, line in enumerate(lines) if line] == [20, 40, 60, 80]
    assert lines[20] == "Broadcast: 0 of 1 node complete, the slowest at 20 %, 10 B/s, 8 s left"


@pytest.mark.parametrize(
    ("transfer", "expected"),
    [
        (BroadcastProgress("n2", 5, 5, 9, "n1", 0, 2), "2 < n1"),
        (BroadcastProgress("n2", 5, 5, 9, "the head", 3, 1), "lane 3: 1 < the head"),
        (BroadcastProgress("n2", 5, 5, 9, "", 0, 2), "waiting"),
    ],
)
def test_the_place_of_a_node(transfer: BroadcastProgress, expected: str) -> None:
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
    log.transcript.received(GROUP, [MOVED, LOST, PULLED, Reception(1.0, "n2", 0, 2, 50, 9.0, ok=True)])
    log.transcript.flush()
    assert [line for line in log.lines if line.startswith("   *")] == expected


def drawn(until: float) -> str:
    """The table when the events up to a time have come."""
    table = LiveTable(Console(file=io.StringIO(), force_terminal=True, width=120, height=30))
    table.started("D-1", [GROUP])
    table.noticed(GROUP, StepStarted(0, NODES, FIRST))
    for at, transfer in EVENTS:
        if at <= until:
            table.transferred(transfer)
    console = Console(file=io.StringIO(), width=120, height=30)
    console.print(table._draw())
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_the_table_shows_who_is_where() -> None:
    waits = [at for at, transfer in EVENTS if transfer.received and not transfer.upstream]
    middle, end = drawn(waits[len(waits) // 2]), drawn(60.0)
    assert "1 < the head" in middle and "3 < n1" in middle and "waiting" in middle
    assert "lane 1: 1 < the head" in end and "waiting" not in end


def test_remarks_are_above_the_table_where_the_log_goes_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    with Observers(0, to_stderr=False, identifier_file=None) as observers:
        observers.received(GROUP, [MOVED])
    assert "n3 was taken out of its chain: takes {3} MB/s" in terminal.getvalue()


def test_the_figures_in_the_document() -> None:
    nodes = (NodeResult("n3", Phase.OK, reception=MOVED), NodeResult("n2", Phase.KO))
    first, second = ResultView.of(OperationResult("D-1", 12.0, 2, 2, nodes)).to_json()["nodes"]
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
    table.started("D-1", [GROUP])
    table.transferred(EVENTS[-1][1])
    for node in NODES:
        table.noticed(GROUP, NodeEnded(1, node, Phase.OK, FIRST, None))
    console = Console(file=io.StringIO(), width=120)
    console.print(table._draw())
    assert "lane" not in console.file.getvalue()  # type: ignore[attr-defined]
