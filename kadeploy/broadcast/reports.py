# SPDX-License-Identifier: Apache-2.0
"""Reports of the relays and of the head: noted in the roster, as a result, or as a complaint that has to be
examined.

A report is no more than a claim of its node: nonsense is a failure of that node, and of no other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from kadeploy.broadcast.head import HEAD, Head
from kadeploy.broadcast.interface import BroadcastProgress, Progress, Trouble
from kadeploy.broadcast.lane_scheduler import LaneScheduler
from kadeploy.broadcast.relay_handle import Event, RelayHandle, RelayLost, figures_of
from kadeploy.broadcast.relay_results import RelayResults
from kadeploy.broadcast.relays import Relays
from kadeploy.broadcast.roster import Roster


class Reports:
    """``RelayObserver`` of the relays of one broadcast. `news` is set by all that may change what is due."""

    def __init__(
        self,
        relays: Relays,
        roster: Roster,
        scheduler: LaneScheduler,
        results: RelayResults,
        head: Head,
        size: int,
        progress: Progress,
        news: asyncio.Event,
    ) -> None:
        """`size`: bytes of the image."""
        self._relays = relays
        self._roster = roster
        self._scheduler = scheduler
        self._results = results
        self._head = head
        self._size = size
        self._progress = progress
        self._news = news
        self._inquiries: dict[str, asyncio.Task[None]] = {}  # into the complaints of nodes about the head
        self._group: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def examined(self) -> AsyncIterator[None]:
        """Examine complaints about the head for as long as the context lasts."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                for task in self._inquiries.values():
                    task.cancel()

    def listening(self, relay: RelayHandle) -> None:
        self._roster.ready(relay.recipient.node, time.monotonic())
        self._news.set()

    def reported(self, relay: RelayHandle, event: Event) -> None:
        try:
            self._note(relay, event)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            self._results.settle(relay, "the relay reported nonsense", repr(dict(event)))
        self._news.set()

    def lost(self, relay: RelayHandle, lost: RelayLost) -> None:
        accused = self._roster.member(relay.recipient.node).accused
        reason = ": ".join(filter(None, [lost.reason, accused]))
        self._results.settle(relay, reason, lost.evidence, lost.trouble)

    def note_loss(self, by: str, event: str, lane: int, node: str, reason: str) -> None:
        """Note that a feeder has given up a successor: "skipped" since it seems dead, or "slow"."""
        if self._roster.has_left(node):
            return  # it does not answer its neighbours any more
        if event == "skipped":
            self._roster.accuse(node, by, reason, time.monotonic(), lane)
        elif self._roster.is_believed(by, node, lane):
            self._scheduler.part(node, reason)
        self._news.set()

    def _note(self, relay: RelayHandle, event: Event) -> None:
        """Note one event; raises ArithmeticError, LookupError, TypeError or ValueError where it is
        nonsense."""
        name, kind = relay.recipient.node, event["event"]
        if kind in ("skipped", "slow"):
            self.note_loss(name, kind, int(event["lane"]), str(event["node"]), str(event["reason"]))
        elif kind == "damaged":
            self._dispute(name, int(event["lane"]), int(event["rank"]), int(event["offset"]))
        else:
            self._note_progress(relay, event)
            digest = str(event.get("sha256", ""))
            if kind == "failed":
                # Who has read the whole stream, and hence has a digest, failed in what it did with it.
                trouble = Trouble.CONSUMER if digest else Trouble.PEERS
                self._results.settle(relay, str(event["reason"]), str(event["evidence"]), trouble, digest)
            elif kind == "done":
                self._results.settle(relay, "", "", Trouble.NONE, digest)

    def _note_progress(self, relay: RelayHandle, event: Event) -> None:
        name = relay.recipient.node
        figures = figures_of(event, self._size)
        received = relay.received = figures.received
        consumed = relay.consumed = figures.consumed
        self._roster.heard(name, time.monotonic(), received, consumed, held=figures.held, fed=figures.fed)
        member = self._roster.member(name)
        lane, rank = figures.lane, figures.feeder
        is_fed = figures.fed and not member.waiting and (lane == member.lane or not rank)
        place = self._upstream(lane, rank) if is_fed else "", max(member.lane, 0), member.rank
        self._progress(BroadcastProgress(name, received, consumed, self._size, *place))

    def _upstream(self, lane: int, rank: int) -> str:
        return self._roster.name(lane, rank) if rank else HEAD

    def _dispute(self, name: str, lane: int, rank: int, offset: int) -> None:
        """Note that `name` has twice found what its feeder sent damaged: the feeder's fault, or its own. Both
        leave the chain at once; whether `name` gets the rest undamaged from elsewhere decides."""
        feeder = self._upstream(lane, rank)
        if self._roster.member(name).waiting or name in self._inquiries or not feeder:
            return
        if not 0 <= offset < self._size:
            raise ValueError("damage outside of the image")
        disputes = self._results.disputes
        before = disputes.accused_by(name)
        note = disputes.add(name, feeder, offset)
        self._roster.complain(name)
        if rank:
            self._scheduler.part(name, note)
            if feeder in self._relays:
                self._scheduler.part(feeder, f"{name} {note}", last=True)
        elif self._group:
            self._inquiries[name] = self._group.create_task(self._examine(name, note, before, offset))

    async def _examine(self, name: str, note: str, before: Sequence[str], offset: int) -> None:
        """Examine a complaint about the head: has the file changed since it was sealed? If not, and what
        others had sent was damaged `before`, the node that complains is at fault."""
        unchanged = await asyncio.to_thread(self._head.is_unchanged, offset)
        del self._inquiries[name]
        if not unchanged:
            self._results.spoil("the image was changed during the broadcast")
        elif before and name in self._relays:
            reason = f"finds damaged what {HEAD} sends, and what {before[-1]} sent before"
            self._results.settle(self._relays[name], reason, trouble=Trouble.DATA)
        elif name in self._relays:
            self._scheduler.part(name, note)
