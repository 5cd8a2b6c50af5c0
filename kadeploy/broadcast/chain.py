# SPDX-License-Identifier: Apache-2.0
"""The chain broadcast: head → node 1 → node 2 → …, every node consuming the stream while it forwards it.

This side starts a relay on every node, tells them the lane they are in, follows what they report, and judges:
a node is ok when its consumer exited with 0 and the digest of what it received is that of the image. The data
go through ``Head``, what runs on the nodes is in ``node/``, what follows from events decides ``Roster``.

The secret of each broadcast goes to the relays over ssh and authenticates peers to each other, so nobody else
on the network can feed a node or be fed. The stream itself is neither encrypted nor authenticated byte by
byte: who can rewrite packets between two nodes can spoil it, which the seal of the chunk detects.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from kadeploy.broadcast.head import HEAD, Head
from kadeploy.broadcast.image import size_problem
from kadeploy.broadcast.interface import (
    BroadcastProgress,
    Delivery,
    Early,
    Progress,
    RelayResult,
    RelayTransport,
    Target,
    Trouble,
    ignore,
)
from kadeploy.broadcast.judgement import Disputes, compare, digest_problem, spoiled
from kadeploy.broadcast.node.lane import Lane
from kadeploy.broadcast.relay import Event, Relay, RelayLost, figures_of, settings_for
from kadeploy.broadcast.roster import Roster
from kadeploy.errors import NodeError, ServiceError

TICK = 0.2  # seconds between looks at what has become due
GATHER = 0.02  # seconds for which news are gathered before a look: a thousand nodes report all the time
LEAST_GRACE = 2.0  # seconds for the relays that start later than most


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
    opened: Callable[[Session], None],
) -> Mapping[str, RelayResult]:
    """As ``Broadcast.run``; tells by `opened` when others may join."""
    if problem := await asyncio.to_thread(size_problem, delivery.image):
        return {target.node: RelayResult(Trouble.IMAGE, problem) for target in delivery.targets}
    session = Session(delivery, transport, progress)
    opened(session)
    try:
        return await session.run()
    finally:
        closing = asyncio.create_task(session.close())
        try:  # also when cancelled meanwhile: what is not stopped now runs on, on nodes that others will use
            await asyncio.shield(closing)
        finally:
            await asyncio.wait([closing])


class Session:
    """One run of a chain broadcast."""

    def __init__(self, delivery: Delivery, transport: RelayTransport, progress: Progress) -> None:
        self._delivery, self._transport, self._progress = delivery, transport, progress
        self._options, self._size = delivery.options, delivery.image.size
        self._loop = asyncio.get_running_loop()
        self._began = time.monotonic()
        self._secret = secrets.token_bytes(32)
        self._starts = asyncio.Semaphore(self._options.start_fanout)
        self._stops = asyncio.Semaphore(self._options.start_fanout)
        self._relays = {target.node: Relay(target) for target in delivery.targets}
        self._roster = Roster(list(self._relays), self._size, self._options.silence)
        self._news = asyncio.Event()
        self._disputes = Disputes()
        self._image_problem = ""
        self._attendants: dict[str, asyncio.Task[None]] = {}
        self._inquiries: dict[str, asyncio.Task[None]] = {}  # into the complaints of nodes about the head
        self._group: asyncio.TaskGroup | None = None
        self._head = self._make_head()

    async def run(self) -> Mapping[str, RelayResult]:
        """Attend to everybody until every node has a verdict or the deadline is over."""
        try:
            async with asyncio.timeout(self._options.deadline), asyncio.TaskGroup() as group:
                self._group = group
                try:
                    for relay in self._relays.values():
                        self._attend(relay)
                    await self._gather()
                    await self._conduct()
                finally:
                    self._group = None
                    for task in (*self._attendants.values(), *self._inquiries.values()):
                        task.cancel()
        except TimeoutError:
            for relay in self._relays.values():
                self._settle(relay, f"not finished within {self._options.deadline:g} s")
        return self._judge()

    async def close(self) -> None:
        """Stop the relays that still run, and the head's threads."""
        try:
            async with asyncio.TaskGroup() as group:
                for relay in self._relays.values():
                    group.create_task(self._stop(relay))
        finally:
            await asyncio.to_thread(self._head.stop)

    def join(self, targets: Sequence[Target]) -> bool:
        """Bring more nodes in; False, and nothing was done, when it is about to end or has one already."""
        if self._group is None or any(target.node in self._relays for target in targets):
            return False
        for target in targets:
            relay = self._relays[target.node] = Relay(target)
            self._roster.join(target.node)
            self._attend(relay)
        return True

    async def released(self, names: Collection[str]) -> Mapping[str, RelayResult]:
        """Waits until there are results of some of these nodes on whom nobody depends any more."""
        futures = {name: self._relays[name].released for name in names}
        await asyncio.wait(futures.values(), return_when=asyncio.FIRST_COMPLETED)
        return {name: future.result() for name, future in futures.items() if future.done()}

    async def leave(self, names: Collection[str]) -> None:
        """Take nodes out, whatever they are at; nothing runs there any more when it returns."""
        relays = [self._relays[name] for name in names if name in self._relays]
        for relay in relays:
            self._settle(relay, "taken out of the broadcast")
        self._judge()  # what their results prove of others is remembered
        async with asyncio.TaskGroup() as group:
            for relay in relays:
                group.create_task(self._dismiss(relay))

    # --- what goes on ---------------------------------------------------------------------------------------

    async def _gather(self) -> None:
        """Wait for the relays to listen; those that take much longer than the others come later."""
        give_up = None
        while any(self._is_starting(relay) for relay in self._relays.values()):
            now = time.monotonic()
            ready = sum(not self._is_starting(relay) for relay in self._relays.values())
            if give_up is None and 2 * ready >= len(self._relays):
                give_up = now + max(LEAST_GRACE, 2 * (now - self._began))
            if give_up is not None and now > give_up and self._roster.anybody_waits():
                return
            await self._wait_for_news()

    async def _conduct(self) -> None:
        """Do what follows from what happened, until there is a verdict on everybody."""
        while not all(relay.verdict.done() for relay in self._relays.values()):
            now = time.monotonic()
            for name, note in {**self._roster.stranded(now), **self._roster.returned()}.items():
                self._part(name, note)
            if laggard := self._roster.laggard(now):
                self._part(*laggard, lags=True)
            for name, reason in self._roster.lost(now).items():
                self._settle(self._relays[name], reason)
            for name, reason in self._roster.exhausted().items():
                self._settle(self._relays[name], reason, trouble=self._disputes.trouble(name))
            self._release(self._roster.dispensable(now))
            if self._roster.anybody_waits() and self._head.free:
                self._feed()
            await self._wait_for_news()

    async def _wait_for_news(self) -> None:
        try:
            async with asyncio.timeout(TICK):
                await self._news.wait()
                await asyncio.sleep(GATHER)
        except TimeoutError:
            pass  # something may have become due
        self._news.clear()

    def _release(self, names: Sequence[str]) -> None:
        """Let nodes go, but for those in a dispute."""
        free = [name for name in names if not (self._relays[name].released.done() or self._is_disputed(name))]
        results = self._judge() if free else {}
        for name in free:
            self._relays[name].released.set_result(results[name])

    def _is_disputed(self, name: str) -> bool:
        """Somebody on whom there is no verdict says that it damages what it passes on."""
        accusers = self._disputes.accusers(name) & self._relays.keys()
        return not all(self._relays[accuser].verdict.done() for accuser in accusers)

    def _feed(self) -> None:
        """Send the next lane on its way."""
        number, names = self._roster.next_lane(time.monotonic())
        relays = [self._relays[name] for name in names]
        peers = [(relay.target.node, relay.target.address, relay.port) for relay in relays]
        lane = Lane(number, 0, self._options.arity, self._head.peer, peers)
        self._head.feed(lane)
        for rank, relay in enumerate(relays, 1):
            self._order(relay, relay.feed(lane._replace(rank=rank)))

    def _part(self, name: str, note: str, *, last: bool = False, lags: bool = False) -> None:
        lane = self._roster.member(name).lane
        if self._roster.part(name, note, last=last, lags=lags):
            self._order(self._relays[name], self._relays[name].leave(lane))

    def _order(self, relay: Relay, order: Coroutine[None, None, None]) -> None:
        async def give() -> None:
            try:
                async with asyncio.timeout(self._options.report_timeout):
                    await order
            except (NodeError, OSError, TimeoutError):
                self._news.set()  # whoever follows this relay finds out how it ended

        if self._group:
            self._group.create_task(give())
        else:
            order.close()  # it is over, all relays are being stopped

    # --- starting -------------------------------------------------------------------------------------------

    def _attend(self, relay: Relay) -> None:
        assert self._group
        self._attendants[relay.target.node] = self._group.create_task(self._follow(relay))

    async def _follow(self, relay: Relay) -> None:
        """Start a relay and take in what it says until it ends."""
        try:
            async with self._starts:
                settings = settings_for(relay.target, self._delivery, self._secret, self._head.peer[1:])
                await relay.start(self._transport, settings, self._options.start_timeout)
            self._roster.ready(relay.target.node, time.monotonic())
            self._news.set()
            await relay.follow(self._options.report_timeout, lambda event: self._take(relay, event))
        except RelayLost as lost:
            accused = self._roster.member(relay.target.node).accused
            reason = ": ".join(filter(None, [lost.reason, accused]))
            self._settle(relay, reason, lost.evidence, lost.trouble)

    def _is_starting(self, relay: Relay) -> bool:
        return not relay.port and not relay.verdict.done()

    def _make_head(self) -> Head:
        def told(event: str, lane: int, node: str, reason: str) -> None:
            self._loop.call_soon_threadsafe(self._hear_of, HEAD, event, lane, node, reason)

        def broken(reason: str) -> None:
            self._loop.call_soon_threadsafe(self._spoil, reason)

        address = self._delivery.head_address
        try:
            return Head(self._delivery.image, self._options, address, self._secret, told, broken)
        except OSError as error:
            raise ServiceError(f"the broadcast cannot listen on {address}: {error.strerror}") from error

    async def _dismiss(self, relay: Relay) -> None:
        """Nothing more is heard of this one, and it may come again."""
        name = relay.target.node
        attendant = self._attendants[name]
        attendant.cancel()
        await asyncio.wait([attendant])
        await self._stop(relay)
        del self._attendants[name], self._relays[name]  # only now: who is cancelled before begins again
        if (deserted := self._roster.dismiss(name)) is not None:
            self._head.abandon(deserted)
        self._disputes.forget(name)
        self._news.set()

    async def _stop(self, relay: Relay) -> None:
        async with self._stops:
            with suppress(NodeError, OSError):  # who cannot be reached for that ends with its connection
                await relay.stop()

    # --- listening to the relays ----------------------------------------------------------------------------

    def _take(self, relay: Relay, event: Event) -> None:
        try:
            self._take_in(relay, event)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            self._settle(relay, "the relay reported nonsense", repr(dict(event)))
        self._news.set()

    def _take_in(self, relay: Relay, event: Event) -> None:
        name, kind = relay.target.node, event["event"]
        if kind in ("skipped", "slow"):
            self._hear_of(name, kind, int(event["lane"]), str(event["node"]), str(event["reason"]))
        elif kind == "damaged":
            self._dispute(name, int(event["lane"]), int(event["rank"]), int(event["offset"]))
        else:
            self._note_progress(relay, event)
            digest = str(event.get("sha256", ""))
            if kind == "failed":
                # Who has read the whole stream, and hence has a digest, failed in what it did with it.
                trouble = Trouble.CONSUMER if digest else Trouble.PEERS
                self._settle(relay, str(event["reason"]), str(event["evidence"]), trouble, digest)
            elif kind == "done":
                self._settle(relay, "", "", Trouble.NONE, digest)

    def _note_progress(self, relay: Relay, event: Event) -> None:
        name, figures = relay.target.node, figures_of(event, self._size)
        received, consumed = relay.received, relay.consumed = figures.received, figures.consumed
        self._roster.heard(name, time.monotonic(), received, consumed, held=figures.held, fed=figures.fed)
        member, lane, rank = self._roster.member(name), figures.lane, figures.feeder
        is_fed = figures.fed and not member.waiting and (lane == member.lane or not rank)
        place = self._upstream(lane, rank) if is_fed else "", max(member.lane, 0), member.rank
        self._progress(BroadcastProgress(name, received, consumed, self._size, *place))

    def _upstream(self, lane: int, rank: int) -> str:
        return self._roster.name(lane, rank) if rank else HEAD

    def _hear_of(self, by: str, event: str, lane: int, node: str, reason: str) -> None:
        """A feeder has left a successor: because it seems dead, or because it is slow."""
        if self._roster.has_left(node):
            return  # it does not answer its neighbours any more
        if event == "skipped":
            self._roster.accuse(node, by, reason, time.monotonic(), lane)
        elif self._roster.is_believed(by, node, lane):
            self._part(node, reason)
        self._news.set()

    def _dispute(self, name: str, lane: int, rank: int, offset: int) -> None:
        """`name` has twice found what its feeder sent damaged: that one's fault, or its own. Both leave the
        chain at once; whether `name` gets the rest undamaged from elsewhere decides."""
        feeder = self._upstream(lane, rank)
        if self._roster.member(name).waiting or name in self._inquiries or not feeder:
            return
        if not 0 <= offset < self._size:
            raise ValueError("damage outside of the image")
        before = self._disputes.accused_by(name)
        note = self._disputes.add(name, feeder, offset)
        self._roster.complain(name)
        if rank:
            self._part(name, note)
            if feeder in self._relays:
                self._part(feeder, f"{name} {note}", last=True)
        elif self._group:
            self._inquiries[name] = self._group.create_task(self._examine(name, note, before, offset))

    async def _examine(self, name: str, note: str, before: Sequence[str], offset: int) -> None:
        """The head is accused: has the file changed since it was sealed? If not, and what others had sent was
        damaged `before`, it is the accuser."""
        unchanged = await asyncio.to_thread(self._head.is_unchanged, offset)
        del self._inquiries[name]
        if not unchanged:
            self._spoil("the image was changed during the broadcast")
        elif before and name in self._relays:
            reason = f"finds damaged what {HEAD} sends, and what {before[-1]} sent before"
            self._settle(self._relays[name], reason, trouble=Trouble.DATA)
        elif name in self._relays:
            self._part(name, note)

    def _spoil(self, reason: str) -> None:
        self._image_problem = self._image_problem or reason
        for relay in self._relays.values():
            self._settle(relay, reason, trouble=Trouble.IMAGE)

    def _settle(
        self,
        relay: Relay,
        reason: str,
        evidence: str = "",
        trouble: Trouble = Trouble.PEERS,
        digest: str = "",
    ) -> None:
        """The first verdict stands."""
        if not relay.verdict.done():
            seconds = time.monotonic() - relay.began
            relay.verdict.set_result(RelayResult(trouble, reason, evidence, relay.received, digest, seconds))
            self._roster.settle(relay.target.node)
            self._news.set()

    def _judge(self) -> Mapping[str, RelayResult]:
        """The results of those on whom there is a verdict."""
        declared, actual = self._delivery.image.sha256.lower(), self._head.sha256
        if problem := digest_problem(declared, actual):
            self._spoil(problem)
        results = {name: self._result(relay) for name, relay in self._relays.items() if relay.verdict.done()}
        if self._image_problem:
            return spoiled(results, self._image_problem)
        results = {name: compare(result, declared or actual) for name, result in results.items()}
        return self._disputes.judge(results)

    def _result(self, relay: Relay) -> RelayResult:
        member = self._roster.member(relay.target.node)
        return replace(relay.verdict.result(), notes=tuple(member.notes), moved=member.moved)
