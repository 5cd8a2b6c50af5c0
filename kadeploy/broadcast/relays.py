# SPDX-License-Identifier: Apache-2.0
"""Relays of one broadcast, one on each node: starts them, listens to them, gives orders, stops them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from kadeploy.broadcast.interface import Delivery, Recipient, RelayTransport
from kadeploy.broadcast.node.lane import Lane
from kadeploy.broadcast.relay_handle import RelayHandle, RelayLost, RelayReport, settings_for
from kadeploy.errors import NodeError
from kadeploy.time_limit import time_limit

# Seconds, for each relay, between orders with roots: an order costs a tenth of that of a processor.
ROOTS_DELAY = 0.001


class RelayObserver(Protocol):
    """Observer of the relays: of their starts, reports and ends."""

    def listening(self, relay: RelayHandle) -> None:
        """Note that it has started."""

    def reported(self, relay: RelayHandle, report: RelayReport) -> None:
        """Note a line that it has sent."""

    def lost(self, relay: RelayHandle, lost: RelayLost) -> None:
        """Note that it could not be started, has ended, or has been silent for too long."""


class Relays(Mapping[str, RelayHandle]):
    """Relays by the names of their nodes. `changed` is set when an order could not be given."""

    def __init__(
        self,
        delivery: Delivery,
        transport: RelayTransport,
        secret: bytes,
        head: tuple[str, int],
        section: int,
        roots: Sequence[str],
        changed: asyncio.Event,
    ) -> None:
        """`head`: the address and port at which the head listens. `roots`: those known already, of sections
        of `section` chunks."""
        self._delivery = delivery
        self._options = delivery.options
        self._transport = transport
        self._secret = secret
        self._head = head
        self._section = section
        self._roots = list(roots)
        self._next_giving: asyncio.TimerHandle | None = None  # of roots that came since the last time
        self._changed = changed
        self._relays = {recipient.node: RelayHandle(recipient) for recipient in delivery.recipients}
        self._starts = asyncio.Semaphore(self._options.start_fanout)
        self._stops = asyncio.Semaphore(self._options.start_fanout)
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._observer: RelayObserver | None = None

    def __getitem__(self, name: str) -> RelayHandle:
        return self._relays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._relays)

    def __len__(self) -> int:
        return len(self._relays)

    @property
    def is_open(self) -> bool:
        """True while nodes may join and orders are given."""
        return self._group is not None

    @asynccontextmanager
    async def following(self, observer: RelayObserver) -> AsyncIterator[None]:
        """Start all relays, and report to `observer` while the context lasts; the relays continue after
        it."""
        self._observer = observer
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for relay in self._relays.values():
                    self._start_following(relay)
                yield
            finally:
                self._group = None
                if self._next_giving:
                    self._next_giving.cancel()
                for task in self._followers.values():
                    task.cancel()

    def join(self, recipient: Recipient) -> None:
        """Start one more relay; only while `is_open`."""
        relay = self._relays[recipient.node] = RelayHandle(recipient)
        self._start_following(relay)

    def feed(self, relay: RelayHandle, lane: Lane) -> None:
        """Order a relay to feed those behind it in `lane`; returns at once."""
        self._order(relay.feed(lane))

    def leave(self, relay: RelayHandle, lane: int) -> None:
        """Order a relay to receive nothing more of the lane of that number; returns at once."""
        self._order(relay.leave(lane))

    def add_root(self, root: str) -> None:
        """Give the root of the next section to all relays; several go in one order."""
        self._roots.append(root)
        if self._next_giving is None:
            self._give_roots()

    async def remove(self, relay: RelayHandle) -> None:
        """Stop a relay and forget it; its node may join again."""
        name = relay.recipient.node
        follower = self._followers[name]
        follower.cancel()
        await asyncio.wait([follower])
        await self._stop(relay)
        del (
            self._followers[name],
            self._relays[name],
        )  # only now: a caller that was cancelled before calls this again

    async def stop(self) -> None:
        """Stop all relays that still run."""
        async with asyncio.TaskGroup() as group:
            for relay in self._relays.values():
                group.create_task(self._stop(relay))

    def _start_following(self, relay: RelayHandle) -> None:
        assert self._group
        self._followers[relay.recipient.node] = self._group.create_task(self._follow(relay))

    def _give_roots(self) -> None:
        self._next_giving = None
        relays = [relay for relay in self._relays.values() if relay.port]
        given = [self._give_missing_roots(relay) for relay in relays]
        if any(given) and self._group:
            delay = ROOTS_DELAY * len(relays)
            self._next_giving = asyncio.get_running_loop().call_later(delay, self._give_roots)

    def _give_missing_roots(self, relay: RelayHandle) -> bool:
        """Give a relay the roots that it does not have; False when there are none."""
        missing = self._roots[relay.roots_given :]
        relay.roots_given = len(self._roots)
        if missing:
            self._order(relay.give_roots(missing))
        return bool(missing)

    async def _follow(self, relay: RelayHandle) -> None:
        """Start a relay, and pass on its reports until it ends."""
        observer = self._observer
        assert observer
        try:
            async with self._starts:
                relay.roots_given = len(self._roots)
                settings = settings_for(
                    relay.recipient, self._delivery, self._secret, self._head, self._section, self._roots
                )
                await relay.start(self._transport, settings, self._options.start_timeout)
            self._give_missing_roots(relay)
            observer.listening(relay)
            await relay.follow(self._options.report_timeout, lambda report: observer.reported(relay, report))
        except RelayLost as lost:
            observer.lost(relay, lost)

    def _order(self, order: Coroutine[None, None, None]) -> None:
        async def give() -> None:
            try:
                async with time_limit(self._options.report_timeout):
                    await order
            except (NodeError, OSError, TimeoutError):
                self._changed.set()  # the task that follows this relay finds out how it ended

        if self._group:
            self._group.create_task(give())
        else:
            order.close()  # no order counts any more: all relays are being stopped

    async def _stop(self, relay: RelayHandle) -> None:
        async with self._stops:
            with suppress(NodeError, OSError):  # a relay that cannot be reached ends with its connection
                await relay.stop()
