# SPDX-License-Identifier: Apache-2.0
"""Live table of a deployment on a terminal: per node its step, elapsed time, bytes, rate, time left."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from rich.console import Console
from rich.console import Group as Rows
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kadeploy.cli.standard_streams import safe
from kadeploy.cli.throughput import size
from kadeploy.cli.transfers import NodeTransfer, place
from kadeploy.workflow import event_data
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from kadeploy.workflow.failure import Failure, reason

REFRESHES = 4  # per second
RESERVED_LINES = 6  # of the terminal, for the lines above and below the table

_STYLES = {"ok": "green", "ko": "bold red", "held": "yellow", "aborted": "red"}


@dataclass(slots=True)
class _Row:
    """Row of one node."""

    instance: str = ""
    step: str = "starting"
    since: float = field(default_factory=time.monotonic)
    phase: str = ""
    note: str = ""
    transfer: NodeTransfer = field(default_factory=NodeTransfer)


class LiveTable:
    """Subscriber that draws; see ``print_above``."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: dict[str, _Row] = {}
        self._started = time.monotonic()
        self._file = self._queue = ""
        self._live = Live(
            console=console, refresh_per_second=REFRESHES, transient=True, get_renderable=self._draw
        )

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # the terminal was closed
            self._live.stop()

    def print_above(self, text: str) -> None:
        """Print lines above the table; they scroll away."""
        self._console.print(safe(text).removesuffix("\n"), markup=False, highlight=False)

    def take(self, event: Event) -> None:
        """Draw what an event tells, at the next refresh."""
        match event.kind:
            case EventKind.FILE:
                file = event_data.file_of(event)
                share = f" {100 * file.done // file.size}%" if file.size else ""
                self._file = f"{file.what} {file.source}: {size(file.done)}{share}"
            case EventKind.STARTED:
                self._rows = {node: _Row() for node in event.nodes}
            case EventKind.SPARES_STARTED:
                self._rows = {**self._rows, **{node: _Row() for node in event.nodes}}
            case EventKind.QUEUED:
                self._queue = event_data.queue_of(event)
            case EventKind.TRANSFERRING:
                for progress in event_data.progress_of(event):
                    self._row(progress.node).transfer.add(progress, event.at)
            case EventKind.STEP_STARTED:
                for node in event.nodes:
                    row = self._row(node)
                    row.instance, row.step, row.phase = event.instance, event.micro_step, ""
                    row.since, row.transfer = _since(event), NodeTransfer()
            case EventKind.STEP_ENDED:
                self._row(event.node).note = _note(event.failure)
            case EventKind.NODE_ENDED:
                row = self._row(event.node)
                row.phase, row.since = event.phase, _since(event)

    def _row(self, node: str) -> _Row:
        """Row of a node, a new one where its beginning was not seen."""
        if node not in self._rows:
            self._rows = {**self._rows, node: _Row()}  # at once: another thread draws
        return self._rows[node]

    # Drawing --------------------------------------------------------------------------------------

    def _draw(self) -> Rows:
        if not self._rows:
            return Rows(Text(safe(self._file) or "checking the request", style="dim"))
        return Rows(self._summary(), self._table())

    def _summary(self) -> Text:
        counts = Counter(row.phase or "running" for row in self._rows.values())
        parts = [f"{counts[phase]} {phase}" for phase in ("running", *_STYLES) if counts[phase]]
        queue = f"; {self._queue}" if self._queue else ""
        seconds = time.monotonic() - self._started
        return Text(f"{', '.join(parts)} of {len(self._rows)} nodes, {seconds:.0f} s{queue}")

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for title in ("node", "step", "time", "received", "rate", "left", "chain", ""):
            table.add_column(
                title, no_wrap=True, justify="right" if title in ("time", "rate", "left") else "left"
            )
        for name, row in self._visible():
            table.add_row(
                *(Text(safe(cell)) for cell in (name, *self._cells(row))), style=_STYLES.get(row.phase, "")
            )
        return table

    def _visible(self) -> list[tuple[str, _Row]]:
        """Rows that the terminal has lines for, those of running nodes first."""
        room = max(self._console.height - RESERVED_LINES, 3)
        rows = list(self._rows.items())
        if len(rows) <= room:
            return rows
        return sorted(rows, key=lambda pair: bool(pair[1].phase))[:room]

    def _cells(self, row: _Row) -> tuple[str, ...]:
        if row.phase:
            return (row.phase, "", "", "", "", "", row.note)
        elapsed = f"{time.monotonic() - row.since:.0f} s"
        latest, rate = row.transfer.latest, row.transfer.received.rate
        if latest is None:
            return (row.step, elapsed, "", "", "", "", row.note)
        if latest.received >= latest.size:
            done = f"unpacked {100 * latest.consumed // max(latest.size, 1)}%"
            return (row.step, elapsed, done, "", "", place(latest), row.note)
        left = f"{(latest.size - latest.received) / rate:.0f} s" if rate else ""
        share = f"{size(latest.received)} {100 * latest.received // latest.size}%"
        return (row.step, elapsed, share, f"{size(rate)}/s", left, place(latest), row.note)


def _note(failure: Failure | None) -> str:
    return f"[{failure.cause}] {reason(failure)}" if failure else ""


def _since(event: Event) -> float:
    """Time of an event, by a clock that nobody sets while it is shown; it may be told late."""
    return time.monotonic() - max(time.time() - event.at, 0.0)
