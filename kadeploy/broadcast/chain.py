# SPDX-License-Identifier: Apache-2.0
"""The chain broadcast: head → node 1 → node 2 → …, every node consuming the stream while it forwards it.

``ChainSession`` runs one broadcast: ``Relays`` starts a relay on every node and listens to it,
``Reports`` notes what they report, ``Roster`` decides what follows from it, ``LaneScheduler`` gives the
orders, and ``RelayResults`` keeps the result of each node. The data go through ``Head``; what runs on the
nodes is in ``node/``.

The secret of each broadcast goes to the relays over ssh and authenticates peers to each other, so no
other machine on the network can feed a node or be fed. The stream itself is not encrypted. What it must be
goes over ssh, too: roots over the seals of all chunks, so whoever spoils the stream on its way is found at
the end of the chunk.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from kadeploy.broadcast.head import HEAD, Head
from kadeploy.broadcast.image import size_problem
from kadeploy.broadcast.interface import (
    Delivery,
    Early,
    Progress,
    Recipient,
    RelayResult,
    RelayTransport,
    Trouble,
    ignore,
)
from kadeploy.broadcast.lane_scheduler import LaneScheduler
from kadeploy.broadcast.relay_handle import RelayHandle
from kadeploy.broadcast.relay_results import RelayResults
from kadeploy.broadcast.relays import Relays
from kadeploy.broadcast.reports import Reports
from kadeploy.broadcast.roster import Roster
from kadeploy.errors import ServiceError
from kadeploy.time_limit import time_limit

TICK = 0.2  # seconds after which what is due is done although nothing has changed
CHANGE_DELAY = 0.02  # seconds from a change to what follows from it: a thousand nodes report all the time
LEAST_GRACE = 2.0  # seconds for relays that start later than most


Left = Callable[[Collection[str]], Awaitable[None]]


async def ignore_left(_: Collection[str]) -> None:
    """Do nothing with nodes that have left."""


class ChainBroadcast:
    """``Broadcast`` by a chain of relays, or a tree if the options say so."""

    async def run(
        self, delivery: Delivery, transport: RelayTransport, progress: Progress, early: Early = ignore
    ) -> Mapping[str, RelayResult]:
        return await broadcast(delivery, transport, progress, lambda _: None)


async def broadcast(
    delivery: Delivery,
    transport: RelayTransport,
    progress: Progress,
    opened: Callable[[ChainSession], None],
) -> Mapping[str, RelayResult]:
    """Run as ``Broadcast.run``; `opened` is called with the session, which others may join."""
    if problem := await asyncio.to_thread(size_problem, delivery.image):
        return dict.fromkeys(delivery.nodes, RelayResult(Trouble.IMAGE, problem))
    session = ChainSession(delivery, transport, progress, await asyncio.to_thread(_known_seals, delivery))
    opened(session)
    try:
        results = await session.run()
        await session.keep_seals()
        return results
    finally:
        closing = asyncio.create_task(session.close())
        try:  # also when it is cancelled: a relay left running would disturb the next user of its node
            await asyncio.shield(closing)
        finally:
            await asyncio.wait([closing])


def _known_seals(delivery: Delivery) -> Sequence[bytes]:
    image, chunk = delivery.image, delivery.options.chunk
    if delivery.seals is None or not image.sha256:
        return []
    return delivery.seals.load(image.sha256.lower(), chunk, -(-image.size // chunk))


class ChainSession:
    """Run of one chain broadcast, which more nodes may join and each may leave before the others."""

    def __init__(
        self,
        delivery: Delivery,
        transport: RelayTransport,
        progress: Progress,
        known: Sequence[bytes] = (),
    ) -> None:
        """`known`: the seals of the image, none where they are not known."""
        image, options, secret = delivery.image, delivery.options, secrets.token_bytes(32)
        self._delivery = delivery
        self._options = options
        self._began = time.monotonic()
        self._changed = asyncio.Event()
        self._roster = Roster(delivery.nodes, image.size, options.silence)
        self._head = head = self._open_head(delivery, secret, known)
        self._relays = Relays(
            delivery, transport, secret, head.peer[1:], head.section, head.known_roots, self._changed
        )
        self._scheduler = LaneScheduler(self._roster, self._relays, self._head, options.arity)
        self._results = RelayResults(self._relays, self._roster, self._head, image.sha256, self._changed)
        self._reports = Reports(
            self._relays,
            self._roster,
            self._scheduler,
            self._results,
            self._head,
            image.size,
            progress,
            self._changed,
        )

    async def run(self) -> Mapping[str, RelayResult]:
        """Broadcast until every node has a result, or the deadline is over."""
        try:
            async with (
                time_limit(self._options.deadline),
                self._reports.examining(),
                self._relays.following(self._reports),  # the first to close: no node joins what is ending
            ):
                await self._wait_for_relays()
                await self._run_to_end()
        except TimeoutError:
            for relay in self._relays.values():
                self._results.set_result(relay, f"not finished within {self._options.deadline:g} s")
        return self._results.judge()

    async def keep_seals(self) -> None:
        """Keep the seals of an image that is what it was declared to be, for the next broadcast of it."""
        cache, seals = self._delivery.seals, self._head.new_seals
        if cache and seals and seals[-1].hex() == self._delivery.image.sha256.lower():
            await asyncio.to_thread(cache.keep, self._options.chunk, seals)

    async def close(self) -> None:
        """Stop the relays that still run, and the head's threads."""
        try:
            await self._relays.stop()
        finally:
            await asyncio.to_thread(self._head.stop)

    def join(self, recipients: Sequence[Recipient]) -> bool:
        """Add more nodes. Returns False without adding any when the broadcast is about to end, or one of the
        nodes is in it already."""
        if not self._relays.is_open or any(recipient.node in self._relays for recipient in recipients):
            return False
        for recipient in recipients:
            self._roster.join(recipient.node)
            self._relays.join(recipient)
        return True

    async def wait_for_early_results(self, names: Collection[str]) -> Mapping[str, RelayResult]:
        """Wait until at least one of these nodes is needed by no other any more; returns the results of
        those nodes."""
        futures = {name: self._relays[name].early_result for name in names}
        await asyncio.wait(futures.values(), return_when=asyncio.FIRST_COMPLETED)
        return {name: future.result() for name, future in futures.items() if future.done()}

    async def leave(self, names: Collection[str], left: Left = ignore_left) -> None:
        """Remove nodes, whatever they are doing; returns when nothing runs on them any more.

        ``left`` is called with those on which nothing runs any more as soon as that is so: a relay that takes
        its time to end holds up its own node only.
        """
        relays = [self._relays[name] for name in names if name in self._relays]
        for relay in relays:
            self._results.set_result(relay, "taken out of the broadcast")
        self._results.judge()  # so that what their results prove of others is kept
        async with asyncio.TaskGroup() as group:
            removals = {relay.recipient.node: group.create_task(self._remove(relay)) for relay in relays}
            while removals:
                await asyncio.wait(removals.values(), return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(CHANGE_DELAY)  # most relays end at about the same time
                gone = [name for name, removal in removals.items() if removal.done()]
                for name in gone:
                    removals.pop(name).result()
                await left(gone)

    async def _remove(self, relay: RelayHandle) -> None:
        """Stop a relay and remove its node, which may join again."""
        await self._relays.remove(relay)
        self._scheduler.remove(relay.recipient.node)
        self._results.complaints.forget(relay.recipient.node)
        self._changed.set()

    async def _wait_for_relays(self) -> None:
        """Wait until the relays listen; relays that take much longer than the others join a later lane."""
        give_up = None
        while any(relay.is_starting for relay in self._relays.values()):
            now = time.monotonic()
            ready = sum(not relay.is_starting for relay in self._relays.values())
            if give_up is None and 2 * ready >= len(self._relays):
                give_up = now + max(LEAST_GRACE, 2 * (now - self._began))
            if give_up is not None and now > give_up and self._roster.has_waiting():
                return
            await self._wait_for_change()

    async def _run_to_end(self) -> None:
        """Do what follows from each change, until every node has a result."""
        while not self._results.are_complete:
            now = time.monotonic()
            for name, note in {
                **self._roster.without_feeder(now),
                **self._roster.accused_but_alive(),
            }.items():
                self._scheduler.leave_lane(name, note)
            if slow := self._roster.slow_consumer(now):
                self._scheduler.leave_lane(*slow, is_slow=True)
            for name, reason in self._roster.lost(now).items():
                self._results.set_result(self._relays[name], reason)
            for name, reason in self._roster.exhausted().items():
                trouble = self._results.complaints.trouble(name)
                self._results.set_result(self._relays[name], reason, trouble=trouble)
            self._results.set_early_results(self._roster.unneeded(now))
            self._scheduler.feed_next()
            await self._wait_for_change()
        # Those that are last would else wait until each relay has been stopped.
        self._results.set_early_results(list(self._relays))

    async def _wait_for_change(self) -> None:
        try:
            async with time_limit(TICK):
                await self._changed.wait()
                await asyncio.sleep(CHANGE_DELAY)
        except TimeoutError:
            pass  # something may be due
        self._changed.clear()

    def _open_head(self, delivery: Delivery, secret: bytes, known: Sequence[bytes]) -> Head:
        """Open the file and the socket; raises ServiceError. Calls by threads of the head are
        passed on to the event loop."""
        loop = asyncio.get_running_loop()

        def on_loss(kind: str, lane: int, node: str, reason: str) -> None:
            loop.call_soon_threadsafe(lambda: self._reports.note_loss(HEAD, kind, lane, node, reason))

        def on_bad_image(reason: str) -> None:
            loop.call_soon_threadsafe(lambda: self._results.fail_image(reason))

        def on_root(root: str) -> None:
            loop.call_soon_threadsafe(lambda: self._relays.add_root(root))

        address = delivery.head_address
        try:
            return Head(
                delivery.image, delivery.options, address, secret, on_loss, on_bad_image, on_root, known
            )
        except OSError as error:
            raise ServiceError(f"the broadcast cannot listen on {address}: {error.strerror}") from error
