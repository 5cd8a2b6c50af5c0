# SPDX-License-Identifier: Apache-2.0
"""Display of an operation: the log, a live table if there is a terminal, or its events as lines of JSON."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from kadeploy.cli import standard_streams
from kadeploy.cli.debug_log import debug_log
from kadeploy.cli.line_writer import LineWriter, writing_to
from kadeploy.cli.options import OperationOptions
from kadeploy.cli.transcript import Transcript
from kadeploy.cli.transfers import remarks
from kadeploy.nodes import fold
from kadeploy.service.views.event import EventView
from kadeploy.service.watchers import Watchers
from kadeploy.terminal import printable_line
from kadeploy.workflow import event_data
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind

if TYPE_CHECKING:
    from kadeploy.cli.live import LiveTable


class Display:
    """Subscriber that gives events to the transcript and, on a terminal, to the live table.

    With ``json_lines`` standard output gets the events themselves, once they are kept.
    """

    def __init__(self, level: int, *, to_stderr: bool, json_lines: bool, lateness: float = 0.0) -> None:
        stream = sys.stderr if to_stderr else sys.stdout
        self._transcript = Transcript(level, self.write, lateness)
        self._live: LiveTable | None = None
        self._lines = LineWriter(writing_to(sys.stdout)) if json_lines else None
        self._apart = not stream.isatty()
        self._writer = self._above = LineWriter(writing_to(stream))
        if sys.stderr.isatty():
            # Imported here: it takes a quarter of a second, and no table is drawn into a file.
            from rich.console import Console

            from kadeploy.cli.live import LiveTable

            self._live = LiveTable(Console(stderr=True))
            self._live.__enter__()
            self._above = LineWriter(self._live.print_above)
            if not self._apart:
                self._writer = self._above
        self._output = self._lines or (None if to_stderr else self._writer)

    @property
    def gone(self) -> bool:
        """Report that nobody reads standard output any more."""
        return self._output is not None and self._output.gone

    @property
    def problem(self) -> str:
        """Reason for which standard output cannot be written, '' where it can."""
        return self._output.problem if self._output is not None else ""

    async def close(self) -> None:
        """Write all lines of the log, and take the table away; a second time does nothing."""
        self._transcript.flush()
        try:
            for writer in {self._writer, self._above, self._lines}:
                if writer is not None:
                    await writer.drain()
        finally:
            if self._live is not None:
                self._live.__exit__()
                self._live = None

    def write(self, line: str) -> None:
        """Write a line of the log, above the table if both are on the terminal."""
        self._writer.write(printable_line(line))

    def tell(self, text: str) -> None:
        """Tell the user on standard error, above the table."""
        for line in text.splitlines():
            if self._live is not None:
                self._above.write(printable_line(line))
            else:
                standard_streams.tell(line)

    def take(self, event: Event) -> None:
        """Show an event."""
        self._transcript.take(event)
        if self._live is not None:
            self._live.take(event)
            if self._apart:
                self._tell_above(event)

    def keep(self, events: Sequence[Event]) -> None:
        """Print events that the log has, where they are asked for."""
        if self._lines is not None:
            for event in events:
                self._lines.write(EventView.of(event).to_json_text())

    @property
    def watchers(self) -> Watchers:
        """The display as the watchers of an operation."""
        return Watchers((self.take,), (self.keep,))

    def _tell_above(self, event: Event) -> None:
        """Tell on the terminal, too, what a user must know whose log goes elsewhere."""
        if event.kind is EventKind.RECEIVED:
            for remark, nodes in remarks(event_data.receptions_of(event)).items():
                self._above.write(printable_line(remark.format(fold(nodes))))
        elif event.kind is EventKind.WARNING:
            self._above.write(printable_line(f"warning: {event_data.warning_of(event)}"))


@asynccontextmanager
async def shown(
    options: OperationOptions, *, to_stderr: bool = False, lateness: float = 0.0
) -> AsyncIterator[Display]:
    """Display of an operation, which the caller closes before it writes anything else."""
    display = Display(
        options.verbose_level,
        to_stderr=to_stderr or options.logs_to_stderr,
        json_lines=options.json_lines,
        lateness=lateness,
    )
    try:
        with debug_log(display.write if options.debug_mode else None):
            yield display
    finally:
        await display.close()
