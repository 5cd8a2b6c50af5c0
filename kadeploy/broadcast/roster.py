# SPDX-License-Identifier: Apache-2.0
"""Roster of a broadcast: lanes and accusations of all nodes, and what follows from them.

Pure: methods note what happened, with the time; other methods return what is to be done. An accusation by a
peer is no result, for the accuser may be the one that is cut off: a node that continues to receive is
reinstated, a node that reports but receives nothing is served in the next lane, a silent node is lost. A node
without a feeder for long, although no other was accused, is served in the next lane as well.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from kadeploy.broadcast.member import HEARTBEATS, Member

TRIES = 5  # lanes for one node, not counting those that brought it far: its machine may be very busy
SLOWER = 2.5  # a consumer so many times slower than the others' is served after them
GONE = 5.0  # seconds of silence of a node that others gave up: less than that may be a starved relay
STRANDED = 3  # silences in which a node finds a new feeder, if those before it look for whom to feed


class Roster:
    """Members by name, in the order in which they are to be fed."""

    def __init__(self, names: Sequence[str], size: int, silence: float) -> None:
        self._members = {name: Member(name) for name in names}
        self._size = size
        self._silence = silence
        self._lanes: list[list[str]] = []

    # --- what happened ------------------------------------------------------------------------------------

    def join(self, name: str) -> None:
        """Add a node that was not there at the beginning; it is `ready` later."""
        self._members[name] = Member(name)

    def ready(self, name: str, now: float) -> None:
        """Note that the relay of a node listens."""
        member = self._members[name]
        member.waiting = True
        member.heard_at = now

    def heard(
        self,
        name: str,
        now: float,
        received: int,
        consumed: int = 0,
        *,
        held: bool = False,
        fed: bool = True,
    ) -> None:
        """Note a sign of life, with the bytes that a node has received and its consumer has taken. `held`: by
        its consumer. `fed`: it has a feeder, who may have nothing to send."""
        member = self._members[name]
        member.hear(now, received, fed=fed, size=self._size)
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
        member.received_then = None

    def is_believed(self, name: str, other: str, lane: int) -> bool:
        """True when a report of `name` about `other` counts: `other` must be in that lane, and `name` neither
        accused nor out of its lane. The head is no member, and never accused."""
        member = self._members.get(name)  # None: the head
        if self._members[other].lane != lane:
            return False
        return member is None or not (member.accused or member.waiting)

    def complain(self, name: str) -> None:
        """Note that a node has received damaged data. The head feeds it next time if it can: that
        shows which node is to blame."""
        self._members[name].complaints += 1

    def part(self, name: str, note: str, *, last: bool = False, lags: bool = False) -> bool:
        """Remove a node from its lane, for the reason in `note`, to be served in a later one, and with no
        node behind it if `last`. `lags`: its consumer is slow. False when it was in no lane, or needs nothing
        more."""
        member = self._members[name]
        member.note(note)
        member.last |= last
        member.lags |= lags
        if member.settled or member.waiting or member.lane < 0:
            return False
        member.waiting = True
        member.accused = ""
        member.moved += 1
        return True

    def settle(self, name: str) -> None:
        """Note that a node has a result."""
        member = self._members[name]
        member.settled = True
        member.waiting = False

    def dismiss(self, name: str) -> int | None:
        """Forget a settled node that has left; returns its lane if it was the last one there."""
        lane = self._members.pop(name).lane
        return lane if lane >= 0 and all(lane != other.lane for other in self._members.values()) else None

    # --- what follows -------------------------------------------------------------------------------------

    def returned(self) -> dict[str, str]:
        """Accused nodes whose relays report but receive nothing, and the accusations: they are to be taken
        out of their lane."""
        accused = [member for member in self._accused() if member.heard_at > self._respite(member)]
        return {member.name: member.accused for member in accused}

    def stranded(self, now: float) -> dict[str, str]:
        """Nodes without a feeder and those behind them, and the notes about that: they are to be taken out of
        their lane."""
        respite = STRANDED * self._silence + HEARTBEATS
        needy = [m for m in self._members.values() if m.is_chained and m.received < self._size]
        needy = [m for m in needy if now - m.received_at > respite and now - m.heard_at < HEARTBEATS]
        first: dict[int, int] = {}  # the least rank without a feeder, by lane
        for member in needy:
            if member.unfed_since is not None and now - member.unfed_since > respite:
                first[member.lane] = min(member.rank, first.get(member.lane, member.rank))
        behind = [m for m in needy if m.rank >= first.get(m.lane, m.rank + 1)]
        return {member.name: f"received nothing for {respite:.1f} s, without a feeder" for member in behind}

    def lost(self, now: float) -> dict[str, str]:
        """Accused nodes that no other node has to wait for any more, and why they failed."""
        accused = self._accused()
        if len(accused) < len([member for member in self._members.values() if not member.settled]):
            return {}  # the others are not ready anyway
        return {
            member.name: member.accused
            for member in accused
            if now > self._respite(member) and now - member.heard_at > max(GONE, 2 * self._silence)
        }

    def exhausted(self) -> dict[str, str]:
        """Waiting nodes that had their tries, and why they failed."""
        return {
            member.name: f"tried {TRIES} times: {member.notes[-1]}"
            for member in self._members.values()
            if member.waiting and member.tries >= TRIES and not member.has_come_far(self._size)
        }

    def laggard(self, now: float) -> tuple[str, str] | None:
        """Node whose consumer alone holds the others up, and the note about that."""
        chained = [m for m in self._members.values() if m.is_chained]
        # It is unknown what holds a silent node up now.
        held = [m for m in chained if m.consumer.is_held(now) and now - m.heard_at < HEARTBEATS]
        if not held or 3 * len(held) > len(chained) or self._has_parted_enough():
            return None
        slowest = min(held, key=lambda member: member.consumer.rate)
        usual = statistics.median(m.consumer.best for m in self._members.values() if m is not slowest)
        if usual <= SLOWER * slowest.consumer.rate:
            return None
        rates = f"{slowest.consumer.rate / 1e6:.1f} MB/s where others take {usual / 1e6:.1f}"
        return slowest.name, f"its consumer takes {rates}"

    def next_lane(self, now: float) -> tuple[int, list[str]]:
        """Put waiting nodes into a new lane; returns its number and its members in their order.

        The node that lacks most comes first, as it can feed the others. Of those that may feed no other there
        is one, at the end. Nodes that were in no lane before have one to themselves: slow nodes must not hold
        up those that are only late.
        """
        waiting = [m for m in self._members.values() if m.waiting]
        waiting = [m for m in waiting if not m.tries] or waiting
        feeders = sorted(
            (m for m in waiting if not m.last), key=lambda member: (-member.complaints, member.received)
        )
        number = len(self._lanes)
        members = feeders + [m for m in waiting if m.last][:1]
        for rank, member in enumerate(members, 1):
            member.enter(number, rank, now, self._size)
        self._lanes.append([member.name for member in members])
        return number, self._lanes[-1]

    def has_left(self, name: str) -> bool:
        """True when it was in a lane, and is no member any more."""
        return name not in self._members and any(name in names for names in self._lanes)

    def anybody_waits(self) -> bool:
        """True when a node waits for a lane."""
        return any(member.waiting for member in self._members.values())

    def unneeded(self, now: float) -> list[str]:
        """Settled nodes that feed no other any more: none behind them in their lane may still need them."""
        found = [member.name for member in self._members.values() if member.settled and member.lane < 0]
        for number, names in enumerate(self._lanes):
            members = [self._members[name] for name in reversed(names) if name in self._members]
            for member in members:
                if member.lane == number and member.settled:
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
        return [m for m in self._members.values() if m.accused and not m.settled]

    def _respite(self, member: Member) -> float:
        """Time until which the node that took its feeder's place may have reached it."""
        return member.accused_at + 2 * self._silence

    def _has_parted_enough(self) -> bool:
        """True when a tenth of the nodes was removed as slow: beyond that they are no exception."""
        parted = sum(member.lags for member in self._members.values())
        return parted >= max(1, len(self._members) // 10)
