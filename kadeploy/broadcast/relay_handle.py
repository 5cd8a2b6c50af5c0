# SPDX-License-Identifier: Apache-2.0
"""Handle of one relay on the head's side: starts it, gives it orders, receives its reports."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from kadeploy.broadcast.interface import (
    Delivery,
    Recipient,
    RelayProcess,
    RelayResult,
    RelayTransport,
    Trouble,
)
from kadeploy.broadcast.node.lane import Lane
from kadeploy.broadcast.node.relay import Settings
from kadeploy.broadcast.program import ARGUMENTS, program
from kadeploy.errors import NodeError, UnreachableError
from kadeploy.time_limit import time_limit

OTHER_LINES = 10  # lines kept of the output of a login shell

RelayReport = Mapping[str, Any]


class RelayLost(Exception):
    """End of a relay, or failure to start it: kind of trouble, reason, evidence."""

    def __init__(self, trouble: Trouble, reason: str, evidence: str = "") -> None:
        super().__init__(reason)
        self.trouble = trouble
        self.reason = reason
        self.evidence = evidence


class ProgressReport(NamedTuple):
    """Progress report of a relay, in bytes. `feeder` is a rank in `lane`; `held`: its consumer holds it
    up."""

    received: int
    consumed: int
    held: bool
    fed: bool
    lane: int
    feeder: int


def parse_progress(report: RelayReport, size: int) -> ProgressReport:
    """Parse a report; raises ValueError, TypeError or OverflowError if it is impossible for an image of
    `size` bytes."""
    names = ("bytes", "consumed", "held", "fed", "lane", "feeder")
    received, consumed, held, fed, lane, feeder = (int(report.get(name, 0)) for name in names)
    if not 0 <= consumed <= received <= size:
        raise ValueError("more bytes than the image has")
    return ProgressReport(received, consumed, bool(held), bool(fed), lane, feeder)


class RelayHandle:
    """Handle of the relay of one node. ``result`` is set once, by the first report that decides it."""

    def __init__(self, recipient: Recipient) -> None:
        self.recipient = recipient
        loop = asyncio.get_running_loop()
        self.result: asyncio.Future[RelayResult] = loop.create_future()
        self.early_result: asyncio.Future[RelayResult] = loop.create_future()  # set once no other needs it
        self.began = time.monotonic()
        self.port = 0
        self.received = 0  # bytes, and what its consumer has taken of them:
        self.consumed = 0
        self.roots_given = 0  # roots of sections that it was told
        self._process: RelayProcess | None = None
        self._other_output: list[str] = []
        self._stopping = asyncio.Lock()
        self._stopped = False

    @property
    def is_starting(self) -> bool:
        """True while it does not listen yet, and may still do so."""
        return not self.port and not self.result.done()

    async def start(self, transport: RelayTransport, settings: Settings, timeout: float) -> None:
        """Start the program and wait until it listens; raises RelayLost."""
        try:
            async with time_limit(timeout):
                self._process = await transport.start(self.recipient.node, ARGUMENTS)
                with suppress(NodeError, OSError):  # what has ended meanwhile has told why, on its streams
                    await self._process.write(program() + _line(settings._asdict()))
                report = await self._next_report()
        except TimeoutError:
            raise RelayLost(Trouble.PEERS, f"the relay did not listen within {timeout:g} s") from None
        except (NodeError, OSError) as error:
            raise _lost(error, "the relay cannot be started") from error
        if report["kind"] != "listening":
            raise RelayLost(Trouble.PEERS, str(report.get("reason")), str(report.get("evidence", "")))
        self.port = _port(report)

    async def follow(self, timeout: float, on_report: Callable[[RelayReport], None]) -> None:
        """Call `on_report` with each report for as long as the relay lives; raises RelayLost at its end, or
        when it was silent for `timeout` seconds."""
        try:
            while True:
                async with time_limit(timeout):
                    report = await self._next_report()
                on_report(report)
        except TimeoutError:
            raise RelayLost(Trouble.PEERS, f"nothing heard from the relay for {timeout:g} s") from None
        except (NodeError, OSError) as error:
            raise _lost(error, "the relay cannot be reached") from error

    async def feed(self, lane: Lane) -> None:
        """Order it into a lane; raises NodeError or OSError."""
        await self._order("feed", *lane)

    async def leave(self, lane: int) -> None:
        """Order it to receive nothing more of that lane; raises NodeError or OSError."""
        await self._order("leave", lane)

    async def give_roots(self, roots: Sequence[str]) -> None:
        """Give it the roots of the next sections; raises NodeError or OSError."""
        await self._order("roots", list(roots))

    async def stop(self) -> None:
        """End it, with its consumer; a second call does nothing."""
        async with self._stopping:
            if self._process and not self._stopped:
                await self._process.stop()
                self._stopped = True

    async def _order(self, *order: object) -> None:
        assert self._process
        await self._process.write(_line(order))

    async def _next_report(self) -> RelayReport:
        """Read the next report. Lines that are no reports are kept as evidence."""
        assert self._process
        while line := await self._process.readline():
            try:
                report = json.loads(line)
                if isinstance(report, dict) and isinstance(report.get("kind"), str):
                    return report
            except (ValueError, RecursionError):
                pass
            self._other_output = [
                *self._other_output[1 - OTHER_LINES :],
                line.decode(errors="replace").rstrip(),
            ]
        ending = await self._process.stop()
        raise RelayLost(Trouble.PEERS, "the relay ended", "\n".join([*self._other_output, ending]))


def settings_for(
    recipient: Recipient,
    delivery: Delivery,
    secret: bytes,
    head: tuple[str, int],
    section: int,
    roots: Sequence[str],
) -> Settings:
    """Settings of the relay on `recipient`; `head` is the address and port of the head, `roots` are those of
    the first sections of `section` chunks each."""
    consumer, options = delivery.consumer, delivery.options
    return Settings(
        secret=secret.hex(),
        address=recipient.address,
        head=head,
        size=delivery.image.size,
        chunk=options.chunk,
        consumer=consumer if isinstance(consumer, str) else [list(command) for command in consumer],
        window=options.window,
        silence=options.silence,
        patience=options.patience,
        section=section,
        roots=list(roots),
    )


def _lost(error: NodeError | OSError, what: str) -> RelayLost:
    if isinstance(error, OSError):
        return RelayLost(Trouble.PEERS, f"{what}: {error}")
    trouble = Trouble.NODE if isinstance(error, UnreachableError) else Trouble.PEERS
    return RelayLost(trouble, error.message, error.evidence)


def _port(report: RelayReport) -> int:
    port = report.get("port")
    if not isinstance(port, int) or not 0 < port < 1 << 16:
        raise RelayLost(Trouble.PEERS, "the relay reported nonsense", repr(dict(report)))
    return port


def _line(value: object) -> bytes:
    """Encode as JSON that is a Python literal as well: text as it is, no booleans, no nulls."""
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
