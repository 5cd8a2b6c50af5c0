# SPDX-License-Identifier: Apache-2.0
"""Roster of a broadcast: lanes and accusations of all nodes, and what follows from them.

Pure: methods note what happened, with the time; other methods return what is to be done. An accusation by a
peer is no result, for the accuser may be the one that is cut off: a node that continues to receive is
reinstated, a node that reports but receives nothing is served in the next lane, a silent node is lost. A
node that has had no feeder for long, although no other was accused, is served in the next lane as well.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from kadeploy.broadcast.member import REPORT_SECONDS, Member

MAX_LANES = 5  # lanes in which a node may fail to progress: its machine may be very busy
SLOWER = 2.5  # a consumer so many times slower than the others' is served after them
LOST_SECONDS = 5.0  # silence of an accused node; a relay without processor time may be silent for less
UNFED_SILENCES = 3  # in so many silences a node gets a new feeder, if the nodes before it look for one


class Roster:
    """Members by name, in the order in which they are to be fed."""

    def __init__(self, names: Sequence[str], size: int, silence: float) -> None:
        self._members = {name: Member(name) for name in names}
        self._size = size
        self._silence = silence
        self._lanes: list[list[str]] = []

    # --- events ------------------------------------------------------------------------------------------

    def join(self, name: str) -> None:
        """Add a late node; `ready` is called later."""
        self._members[name] = Member(name)

    def ready(self, name: str, now: float) -> None:
        """Note that the relay of a node listens."""
        member = self._members[name]
        member.waiting = True
        member.reported_at = now

    def note_report(
        self,
        name: str,
        now: float,
        received: int,
        consumed: int = 0,
        *,
        held: bool = False,
        fed: bool = True,
    ) -> None:
        """Note a progress report: bytes that a node has received and its consumer has taken. `held`: its
        consumer holds it up. `fed`: it has a feeder, even if that has nothing to send."""
        member = self._members[name]
        member.note_report(now, received, fed=fed, size=self._size)
        member.consumer.note(now, consumed, held)

    def accuse(self, name: str, by: str, reason: str, now: float, lane: int) -> None:
        """Note that `by` has given `name` up in that lane, if `by` is believed."""
        member = self._members[name]
        if not member.is_chained or member.received == self._size:
            return
        if not self.is_believed(by, name, lane):
            return
        member.accused = f"given up by {by}: {reason}"
        member.accused_at = now
        member.received_when_accused = None

    def is_believed(self, name: str, other: str, lane: int) -> bool:
        """True when a report of `name` about `other` counts: `other` must be in that lane, and `name` neither
        accused nor out of its lane. The head is no member, and never accused."""
        member = self._members.get(name)  # None: the head
        if self._members[other].lane != lane:
            return False
        return member is None or not (member.accused or member.waiting)

    def note_complaint(self, name: str) -> None:
        """Note that a node has received damaged data. The head feeds it next time if it can: that
        shows which node is to blame."""
        self._members[name].complaints += 1

    def leave_lane(self, name: str, note: str, *, feeds_none: bool = False, is_slow: bool = False) -> bool:
        """Remove a node from its lane, for the reason in `note`, to be served in a later one, and with no
        node behind it if `feeds_none`. `is_slow`: its consumer is slow. False when it was in no lane, or
        needs nothing more."""
        member = self._members[name]
        member.note(note)
        member.feeds_none |= feeds_none
        member.is_slow |= is_slow
        if member.has_result or member.waiting or member.lane < 0:
            return False
        member.waiting = True
        member.accused = ""
        member.moved += 1
        return True

    def note_result(self, name: str) -> None:
        """Note that a node has a result."""
        member = self._members[name]
        member.has_result = True
        member.waiting = False

    def remove(self, name: str) -> int | None:
        """Forget a settled node that has left; returns its lane if it was the last one there."""
        lane = self._members.pop(name).lane
        return lane if lane >= 0 and all(lane != other.lane for other in self._members.values()) else None

    # --- decisions ----------------------------------------------------------------------------------------

    def accused_but_alive(self) -> dict[str, str]:
        """Accusations of nodes whose relays report but receive nothing: they have to leave their lane."""
        accused = [member for member in self._accused() if member.reported_at > self._grace_end(member)]
        return {member.name: member.accused for member in accused}

    def without_feeder(self, now: float) -> dict[str, str]:
        """Notes about nodes without a feeder and the nodes behind these: they have to leave their lane."""
        grace = UNFED_SILENCES * self._silence + REPORT_SECONDS
        unfed = [m for m in self._members.values() if m.is_chained and m.received < self._size]
        unfed = [m for m in unfed if now - m.received_at > grace and now - m.reported_at < REPORT_SECONDS]
        first: dict[int, int] = {}  # the least rank without a feeder, by lane
        for member in unfed:
            if member.unfed_since is not None and now - member.unfed_since > grace:
                first[member.lane] = min(member.rank, first.get(member.lane, member.rank))
        behind = [m for m in unfed if m.rank >= first.get(m.lane, m.rank + 1)]
        return {member.name: f"received nothing for {grace:.1f} s, without a feeder" for member in behind}

    def lost(self, now: float) -> dict[str, str]:
        """Reasons of the failure of silent accused nodes, once all nodes without a result are accused."""
        accused = self._accused()
        if len(accused) < len([member for member in self._members.values() if not member.has_result]):
            return {}  # the others are not ready, so these may still report
        return {
            member.name: member.accused
            for member in accused
            if now > self._grace_end(member)
            and now - member.reported_at > max(LOST_SECONDS, 2 * self._silence)
        }

    def exhausted(self) -> dict[str, str]:
        """Reasons of the failure of waiting nodes that have not progressed in MAX_LANES lanes."""
        return {
            member.name: f"tried {MAX_LANES} times: {member.notes[-1]}"
            for member in self._members.values()
            if member.waiting and member.lanes_tried >= MAX_LANES and not member.has_progressed(self._size)
        }

    def slow_consumer(self, now: float) -> tuple[str, str] | None:
        """Node whose consumer alone holds the others up, with the note about it; None for none."""
        chained = [m for m in self._members.values() if m.is_chained]
        # A silent node does not count: what holds it up is unknown.
        held = [m for m in chained if m.consumer.is_held(now) and now - m.reported_at < REPORT_SECONDS]
        if not held or 3 * len(held) > len(chained) or self._has_removed_enough():
            return None
        slowest = min(held, key=lambda member: member.consumer.rate)
        typical = statistics.median(m.consumer.best for m in self._members.values() if m is not slowest)
        if typical <= SLOWER * slowest.consumer.rate:
            return None
        rates = f"{slowest.consumer.rate / 1e6:.1f} MB/s where others take {typical / 1e6:.1f}"
        return slowest.name, f"its consumer takes {rates}"

    def next_lane(self, now: float) -> tuple[int, list[str]]:
        """Put waiting nodes into a new lane; returns its number and its members in their order.

        The node that lacks most comes first, as it can feed the others. Of those that may feed no other there
        is one, at the end. Nodes that were in no lane before have one to themselves: slow nodes must not hold
        up those that are only late.
        """
        waiting = [m for m in self._members.values() if m.waiting]
        waiting = [m for m in waiting if not m.lanes_tried] or waiting
        feeders = sorted(
            (m for m in waiting if not m.feeds_none), key=lambda member: (-member.complaints, member.received)
        )
        number = len(self._lanes)
        members = feeders + [m for m in waiting if m.feeds_none][:1]
        for rank, member in enumerate(members, 1):
            member.enter_lane(number, rank, now, self._size)
        self._lanes.append([member.name for member in members])
        return number, self._lanes[-1]

    def has_left(self, name: str) -> bool:
        """True for the name of a former member that was in a lane."""
        return name not in self._members and any(name in names for names in self._lanes)

    def has_waiting(self) -> bool:
        """True when a node waits for a lane."""
        return any(member.waiting for member in self._members.values())

    def unneeded(self, now: float) -> list[str]:
        """Settled nodes that feed no other any more: none behind them in their lane may still need them."""
        found = [member.name for member in self._members.values() if member.has_result and member.lane < 0]
        for number, names in enumerate(self._lanes):
            members = [self._members[name] for name in reversed(names) if name in self._members]
            for member in members:
                if member.lane == number and member.has_result:
                    found.append(member.name)
                elif member.lane == number and member.may_be_fed(now, self._size):
                    break
        return found

    def member(self, name: str) -> Member:
        """Member of that name; raises KeyError."""
        return self._members[name]

    def name(self, lane: int, rank: int) -> str:
        """Name of the node of that rank, '' for none (rank 0 is the head)."""
        names = self._lanes[lane] if 0 <= lane < len(self._lanes) else []
        return names[rank - 1] if 0 < rank <= len(names) else ""

    def _accused(self) -> list[Member]:
        return [m for m in self._members.values() if m.accused and not m.has_result]

    def _grace_end(self, member: Member) -> float:
        """Time until which a replacement of its feeder may take to reach it."""
        return member.accused_at + 2 * self._silence

    def _has_removed_enough(self) -> bool:
        """True when a tenth of the nodes left its lane as slow: more slow nodes are no exception."""
        removed = sum(member.is_slow for member in self._members.values())
        return removed >= max(1, len(self._members) // 10)
