# SPDX-License-Identifier: Apache-2.0
"""The live table of a deployment on a terminal: per node its step, elapsed time, bytes, rate, time left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.console import Group as Rows
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kadeploy.cli.transcript import describe_queue
from kadeploy.operations.feed import Group
from kadeploy.operations.statistics import reason
from kadeploy.steps.deployment import Transfer
from kadeploy.workflow.events import Failure, NodeEnded, Notice, StepEnded, StepStarted

REFRESHES = 4  # per second
RATE_WINDOW = 5.0  # seconds over which a node's rate is measured
RESERVED_LINES = 6  # of the terminal, for the lines above and below the table

_STYLES = {"ok": "green", "ko": "bold red", "held": "yellow", "aborted": "red"}


@dataclass(slots=True)
class _Row:
    """What is shown of one node."""

    instance: str = ""
    step: str = "starting"
    since: float = field(default_factory=time.time)
    phase: str = ""
    note: str = ""
    total: int = 0
    consumed: int = 0
    samples: list[tuple[float, int]] = field(default_factory=list)

    def add_sample(self, transfer: Transfer) -> None:
        now = time.time()
        self.total, self.consumed = transfer.total, transfer.consumed
        recent = [sample for sample in self.samples if now - sample[0] <= RATE_WINDOW]
        self.samples = [*recent, (now, transfer.received)]  # at once: another thread draws

    @property
    def rate(self) -> float:
        """Bytes per second lately."""
        samples = self.samples
        (first, start), (last, end) = samples[0], samples[-1]
        return (end - start) / (last - first) if last > first else 0.0


class LiveTable:
    """Observer that draws; lines written meanwhile through ``print`` appear above the table."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._rows: dict[str, _Row] = {}
        self._started = time.time()
        self._grab = self._queue = ""
        self._live = Live(
            console=console, refresh_per_second=REFRESHES, transient=True, get_renderable=self._draw
        )

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def started(self, wid: str, groups: Sequence[Group]) -> None:
        self._grab = ""
        self._rows = {node: _Row() for group in groups for node in group.nodes}

    def grabbed(self, what: str, source: str, done: int, total: int) -> None:
        share = f" {100 * done // total}%" if total else ""
        self._grab = f"{what} {source}: {_bytes(done)}{share}"

    def noticed(self, group: Group, notice: Notice) -> None:
        match notice:
            case StepStarted():
                for node in notice.nodes:
                    row = self._rows[node]
                    row.instance = group.automaton.instance(notice.position).name
                    row.step = group.automaton.microstep(notice.position).name
                    row.since, row.samples = notice.at, []
            case StepEnded():
                self._rows[notice.node].note = _note(notice.failure)
            case NodeEnded():
                row = self._rows[notice.node]
                row.phase, row.since = notice.phase, notice.at

    def replaced(self, group: Group, spares: Sequence[str]) -> None:
        self._rows = {**self._rows, **{node: _Row() for node in spares}}  # at once: another thread draws

    def transferred(self, transfer: Transfer) -> None:
        self._rows[transfer.node].add_sample(transfer)

    def queued(self, window: str, nodes: Sequence[str], size: int) -> None:
        self._queue = describe_queue(window, nodes, size) if nodes else ""

    def ended(self, wid: str) -> None:
        """Nothing more to draw; the summary follows."""

    # Drawing --------------------------------------------------------------------------------------

    def _draw(self) -> Rows:
        if not self._rows:
            return Rows(Text(self._grab or "checking the request", style="dim"))
        return Rows(self._summary(), self._table())

    def _summary(self) -> Text:
        counts = Counter(row.phase or "running" for row in self._rows.values())
        parts = [f"{counts[phase]} {phase}" for phase in ("running", *_STYLES) if counts[phase]]
        queue = f"; {self._queue}" if self._queue else ""
        seconds = time.time() - self._started
        return Text(f"{', '.join(parts)} of {len(self._rows)} nodes, {seconds:.0f} s{queue}")

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for title in ("node", "step", "time", "received", "rate", "left", ""):
            table.add_column(
                title, no_wrap=True, justify="right" if title in ("time", "rate", "left") else "left"
            )
        for name, row in self._visible():
            table.add_row(
                *(Text(cell) for cell in (name, *self._cells(row))), style=_STYLES.get(row.phase, "")
            )
        return table

    def _visible(self) -> list[tuple[str, _Row]]:
        """Those that still run first, as many as the terminal has lines for."""
        room = max(self.console.height - RESERVED_LINES, 3)
        rows = list(self._rows.items())
        if len(rows) <= room:
            return rows
        return sorted(rows, key=lambda pair: bool(pair[1].phase))[:room]

    def _cells(self, row: _Row) -> tuple[str, ...]:
        if row.phase:
            return (row.phase, "", "", "", "", row.note)
        elapsed = f"{time.time() - row.since:.0f} s"
        if not row.samples:
            return (row.step, elapsed, "", "", "", row.note)
        received = row.samples[-1][1]
        if received >= row.total:
            done = f"unpacked {100 * row.consumed // max(row.total, 1)}%"
            return (row.step, elapsed, done, "", "", row.note)
        left = f"{(row.total - received) / row.rate:.0f} s" if row.rate else ""
        share = f"{_bytes(received)} {100 * received // max(row.total, 1)}%"
        return (row.step, elapsed, share, f"{_bytes(row.rate)}/s", left, row.note)


def _note(failure: Failure | None) -> str:
    return f"[{failure.cause}] {reason(failure)}" if failure else ""


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
