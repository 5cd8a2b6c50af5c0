# SPDX-License-Identifier: Apache-2.0
"""Observers of an operation: the log on standard output, and a live table if there is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kadeploy.broadcast.interface import BroadcastProgress
from kadeploy.cli.transcript import Transcript
from kadeploy.cli.transfers import remarks
from kadeploy.nodes import fold
from kadeploy.operations.observer import ObservedCluster
from kadeploy.store.receptions import Reception
from kadeploy.terminal import printable_line
from kadeploy.workflow.notices import Notice

if TYPE_CHECKING:
    from kadeploy.cli.live import LiveTable


class Observers:
    """Observer that forwards to the transcript and, on a terminal, to the live table.

    The workflow's identifier is written to ``identifier_file`` as soon as there is one, without a newline.
    """

    def __init__(self, level: int, *, to_stderr: bool, identifier_file: Path | None) -> None:
        self._identifier_file = identifier_file
        self._stream = sys.stderr if to_stderr else sys.stdout
        self._transcript = Transcript(level, self.write)
        self._live: LiveTable | None = None
        if sys.stderr.isatty():
            # Imported here: it takes a quarter of a second, and no table is drawn into a file.
            from rich.console import Console

            from kadeploy.cli.live import LiveTable

            self._live = LiveTable(Console(stderr=True))

    def __enter__(self) -> Observers:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._transcript.flush()
        if self._live is not None:
            self._live.__exit__()
            self._live = None

    def write(self, line: str) -> None:
        """Write a line of the log, above the table if both are on the terminal.

        The operation continues without a log after its reader has closed the pipe.
        """
        line = printable_line(line)
        if self._live is not None and self._stream.isatty():
            self._live.print_above(line)
        else:
            with suppress(OSError, ValueError):
                click.echo(line, file=self._stream)

    def started(self, wid: str, clusters: Sequence[ObservedCluster]) -> None:
        if self._identifier_file is not None:
            self._identifier_file.write_text(wid, encoding="utf-8")
        self._transcript.started(wid, clusters)
        if self._live is not None:
            self._live.started(wid, clusters)

    def grabbed(self, what: str, source: str, done: int, total: int) -> None:
        self._transcript.grabbed(what, source, done, total)
        if self._live is not None:
            self._live.grabbed(what, source, done, total)

    def noticed(self, cluster: ObservedCluster, notice: Notice) -> None:
        self._transcript.noticed(cluster, notice)
        if self._live is not None:
            self._live.noticed(cluster, notice)

    def replaced(self, cluster: ObservedCluster, spares: Sequence[str]) -> None:
        self._transcript.replaced(cluster, spares)
        if self._live is not None:
            self._live.replaced(cluster, spares)

    def transferred(self, progress: BroadcastProgress) -> None:
        self._transcript.transferred(progress)
        if self._live is not None:
            self._live.transferred(progress)

    def received(self, cluster: ObservedCluster, receptions: Sequence[Reception]) -> None:
        self._transcript.received(cluster, receptions)
        if self._live is not None and not self._stream.isatty():
            for remark, nodes in remarks(receptions).items():
                self._live.print_above(printable_line(remark.format(fold(nodes))))

    def queued(self, window: str, nodes: Sequence[str], size: int) -> None:
        self._transcript.queued(window, nodes, size)
        if self._live is not None:
            self._live.queued(window, nodes, size)

    def ended(self, wid: str) -> None:
        self._transcript.ended(wid)
