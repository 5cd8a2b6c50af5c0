# SPDX-License-Identifier: Apache-2.0
"""Reports of the relays and of the head: each is noted in the roster, as a result, or as a complaint.

A report is only a claim of its node: an impossible one is a failure of that node, and of no other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from kadeploy.broadcast.head import HEAD, Head
from kadeploy.broadcast.interface import BroadcastProgress, Progress, Trouble
from kadeploy.broadcast.lane_scheduler import LaneScheduler
from kadeploy.broadcast.relay_handle import RelayHandle, RelayLost, RelayReport, parse_progress
from kadeploy.broadcast.relay_results import RelayResults
from kadeploy.broadcast.relays import Relays
from kadeploy.broadcast.roster import Roster


class Reports:
    """``RelayObserver`` of the relays of one broadcast. `changed` is set by all that may change what is
    due."""

    def __init__(
        self,
        relays: Relays,
        roster: Roster,
        scheduler: LaneScheduler,
        results: RelayResults,
        head: Head,
        size: int,
        progress: Progress,
        changed: asyncio.Event,
    ) -> None:
        """`size`: bytes of the image."""
        self._relays = relays
        self._roster = roster
        self._scheduler = scheduler
        self._results = results
        self._head = head
        self._size = size
        self._progress = progress
        self._changed = changed
        self._examinations: dict[str, asyncio.Task[None]] = {}  # of complaints about the head, by node
        self._group: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def examining(self) -> AsyncIterator[None]:
        """Examine complaints about the head for as long as the context lasts."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                for task in self._examinations.values():
                    task.cancel()

    def listening(self, relay: RelayHandle) -> None:
        self._roster.ready(relay.recipient.node, time.monotonic())
        self._changed.set()

    def reported(self, relay: RelayHandle, report: RelayReport) -> None:
        try:
            self._note(relay, report)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            self._results.set_result(relay, "the relay reported nonsense", repr(dict(report)))
        self._changed.set()

    def lost(self, relay: RelayHandle, lost: RelayLost) -> None:
        accused = self._roster.member(relay.recipient.node).accused
        reason = ": ".join(filter(None, [lost.reason, accused]))
        self._results.set_result(relay, reason, lost.evidence, lost.trouble)

    def note_loss(self, by: str, kind: str, lane: int, node: str, reason: str) -> None:
        """Note that a feeder has given up a successor: "skipped" since it seems dead, or "slow"."""
        if self._roster.has_left(node):
            return  # its relay was stopped, so its neighbours get no answer
        if kind == "skipped":
            self._roster.accuse(node, by, reason, time.monotonic(), lane)
        elif self._roster.is_believed(by, node, lane):
            self._scheduler.leave_lane(node, reason)
        self._changed.set()

    def _note(self, relay: RelayHandle, report: RelayReport) -> None:
        """Note one report; raises ArithmeticError, LookupError, TypeError or ValueError for an impossible
        one."""
        name, kind = relay.recipient.node, report["kind"]
        if kind in ("skipped", "slow"):
            self.note_loss(name, kind, int(report["lane"]), str(report["node"]), str(report["reason"]))
        elif kind == "damaged":
            self._note_complaint(name, int(report["lane"]), int(report["rank"]), int(report["offset"]))
        else:
            self._note_progress(relay, report)
            digest = str(report.get("sha256", ""))
            if kind == "failed":
                # A node with a digest has received the whole stream: its consumer failed.
                trouble = Trouble.CONSUMER if digest else Trouble.PEERS
                self._results.set_result(
                    relay, str(report["reason"]), str(report["evidence"]), trouble, digest
                )
            elif kind == "done":
                self._results.set_result(relay, "", "", Trouble.NONE, digest)

    def _note_progress(self, relay: RelayHandle, report: RelayReport) -> None:
        name = relay.recipient.node
        progress = parse_progress(report, self._size)
        received = relay.received = progress.received
        consumed = relay.consumed = progress.consumed
        self._roster.note_report(
            name, time.monotonic(), received, consumed, held=progress.held, fed=progress.fed
        )
        member = self._roster.member(name)
        lane, rank = progress.lane, progress.feeder
        is_fed = progress.fed and not member.waiting and (lane == member.lane or not rank)
        place = self._upstream(lane, rank) if is_fed else "", max(member.lane, 0), member.rank
        self._progress(BroadcastProgress(name, received, consumed, self._size, *place))

    def _upstream(self, lane: int, rank: int) -> str:
        return self._roster.name(lane, rank) if rank else HEAD

    def _note_complaint(self, name: str, lane: int, rank: int, offset: int) -> None:
        """Note that `name` has received damaged data from its feeder twice, which is the fault of either.
        Both leave their lane at once; whether `name` receives the rest undamaged decides which."""
        feeder = self._upstream(lane, rank)
        if self._roster.member(name).waiting or name in self._examinations or not feeder:
            return
        if not 0 <= offset < self._size:
            raise ValueError("damage outside of the image")
        complaints = self._results.complaints
        before = complaints.feeders_blamed_by(name)
        note = complaints.add(name, feeder, offset)
        self._roster.note_complaint(name)
        if rank:
            self._scheduler.leave_lane(name, note)
            if feeder in self._relays:
                self._scheduler.leave_lane(feeder, f"{name} {note}", feeds_none=True)
        elif self._group:
            self._examinations[name] = self._group.create_task(self._examine(name, note, before, offset))

    async def _examine(self, name: str, note: str, before: Sequence[str], offset: int) -> None:
        """Examine a complaint about the head: read again whether the file has changed since it was sealed. If
        not, and the node complained of other feeders `before`, the node itself is at fault."""
        unchanged = await asyncio.to_thread(self._head.is_unchanged, offset)
        del self._examinations[name]
        if not unchanged:
            self._results.fail_image("the image was changed during the broadcast")
        elif before and name in self._relays:
            reason = f"finds damaged what {HEAD} sends, and what {before[-1]} sent before"
            self._results.set_result(self._relays[name], reason, trouble=Trouble.DATA)
        elif name in self._relays:
            self._scheduler.leave_lane(name, note)
