# SPDX-License-Identifier: Apache-2.0
"""Ring: the bounded window of the stream that a relay keeps in memory.

The stream is cut into chunks. Data of a chunk are provisional until its seal has been
checked; it may be forwarded at once, for latency, but is consumed only afterwards, and can be taken back.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import threading

from kadeploy.broadcast.node.wire import PIECE

HASH_BYTES = 64 << 10  # the hashing thread is woken for so many bytes, as each wake costs processor time


class Ring:
    """Ring of the last `capacity` bytes of the stream; a byte is overwritten once every cursor is past it.

    `end` is the number of bytes received, `verified` of those that are known to be right: always a boundary,
    which is the end of a chunk or of the stream. `seals` maps each verified boundary to its seal, with the
    audit path.
    """

    def __init__(self, capacity: int, size: int, chunk: int) -> None:
        self.size = size
        self.chunk = chunk
        self.memory = memoryview(bytearray(max(1, min(max(capacity, 2 * chunk), size))))
        self.capacity = len(self.memory)
        self._sealed_span = (self.capacity // chunk + 3) * chunk  # bytes whose seals are kept
        self.end = 0
        self.verified = 0
        self.seals: dict[int, bytes] = {}
        self.cursors: list[Cursor] = []
        self._blocker: Cursor | None = None
        self._reserved_end = (
            0  # a reservation may already be overwriting what lies `capacity` before this offset
        )
        self._lock = threading.Lock()
        # A forwarder is woken for all that comes, for latency; the others only when it is worth the
        # processor.
        self.filled = threading.Condition(self._lock)
        self.hashable = threading.Condition(self._lock)
        self.consumable = threading.Condition(self._lock)
        self.freed = threading.Condition(self._lock)

    @property
    def full(self) -> bool:
        """True when nothing more can be received until the slowest reader has read."""
        with self._lock:
            return not self._free()

    def sealed_before(self, offset: int) -> int:
        """Last boundary before `offset`: a chunk that ends there may still lack its seal."""
        return max(0, (offset - 1) // self.chunk * self.chunk)

    def boundary(self, offset: int) -> int:
        """First end of a chunk after `offset`."""
        return min((offset // self.chunk + 1) * self.chunk, self.size)

    def add(self, cursor: Cursor) -> None:
        with self._lock:
            self.cursors.append(cursor)

    def remove(self, cursor: Cursor) -> None:
        """Keep no data for `cursor` any more."""
        with self.freed:
            if cursor in self.cursors:
                self.cursors.remove(cursor)
            self.freed.notify_all()

    def reserve(self, limit: int, timeout: float) -> memoryview:
        """Reserve contiguous room for at most `limit` bytes; empty when there is none after `timeout`
        seconds."""
        with self.freed:
            if not self._free():
                self._blocker = min(self.cursors, key=lambda cursor: cursor.offset, default=None)
                self.freed.wait_for(self._free, timeout)
            start = self.end % self.capacity
            count = min(limit, self._free(), self.capacity - start)
            self._reserved_end = max(self._reserved_end, self.end + count)
            return self.memory[start : start + count]

    def commit(self, count: int) -> None:
        with self.filled:
            before = self.end
            self.end += count
            self.filled.notify_all()
            if self.end // HASH_BYTES > before // HASH_BYTES or self.end == self.boundary(before):
                self.hashable.notify_all()

    def verify(self, cursor: Cursor, seal: bytes) -> bool:
        """Mark all that `cursor` has read as right, under its seal; False when it was retracted meanwhile."""
        with self.filled:
            if cursor.retracted:
                return False
            self.verified = cursor.offset
            self.seals[self.verified] = seal
            # Readers begin at what the ring still holds, at the earliest with the seal before that.
            self.seals.pop(self.verified - self._sealed_span, None)
            self._wake_all()
            return True

    def retract(self, offset: int) -> None:
        """Discard what was received after `offset`, but nothing that is verified."""
        with self.filled:
            offset = max(offset, self.verified)
            if offset >= self.end:
                return
            self.end = offset
            for cursor in self.cursors:
                cursor.retract(offset)
            self._wake_all()

    def oldest(self) -> int:
        """First boundary (or the beginning) from which on the ring holds all that was received."""
        gone = max(0, self._reserved_end - self.capacity)
        return gone if gone % self.chunk == 0 else self.boundary(gone)

    def take_blocker(self) -> Cursor | None:
        """Cursor that has blocked the ring since the last call, or None."""
        with self._lock:
            blocker = self._blocker
            if self._free():
                self._blocker = None
            return blocker

    def wake(self) -> None:
        """End all waits."""
        with self._lock:
            self._wake_all()

    def _wake_all(self) -> None:
        for condition in (self.filled, self.hashable, self.consumable, self.freed):
            condition.notify_all()

    def _free(self) -> int:
        # After a retraction the provisional data are hashed again from the last boundary on.
        kept = min((cursor.offset for cursor in self.cursors), default=self.verified)
        # A new cursor is at 0 until `seek`, which may be further back than the ring reaches.
        return max(0, self.capacity - self.end + min(kept, self.verified))


class Cursor:
    """Place of one reader in a ring. It waits on `condition`, one of the ring's conditions: a reader that
    waits for what is `consumable` sees only what is verified."""

    def __init__(self, ring: Ring, condition: threading.Condition) -> None:
        self.ring = ring
        self._condition = condition
        self.offset = 0
        self.retracted = False  # data that were read after `offset` have been retracted
        self._begin = 0  # offset of the last `seek`: nothing before it was given out
        self._given_end = 0  # end of the data that were given out last
        ring.add(self)

    def seek(self, offset: int) -> int:
        """Go to `offset`, or to the first boundary after it that the ring still holds; returns the offset."""
        with self.ring.freed:
            self.offset = self._begin = self._given_end = max(offset, self.ring.oldest())
            self.retracted = False
            self.ring.freed.notify_all()
            return self.offset

    def peek(self, timeout: float) -> memoryview:
        """Read without a copy: at most PIECE bytes, not beyond the next boundary; none after `timeout`
        seconds without news, or after a `wake`."""
        ring = self.ring
        with self._condition:
            if self._limit() <= self.offset and not self.retracted:
                self._condition.wait(timeout)
            start = self.offset % ring.capacity
            count = min(PIECE, self._limit() - self.offset, ring.capacity - start)
            count = max(0, min(count, ring.boundary(self.offset) - self.offset))
            self._given_end = self.offset + count
            return ring.memory[start : start + count]

    def advance(self, count: int) -> None:
        """Free `count` bytes of what `peek` gave, unless they were retracted meanwhile."""
        with self.ring.freed:
            if not self.retracted:
                self.offset += count
                self._given_end = self.offset
                self.ring.freed.notify_all()

    def retract(self, offset: int) -> None:
        """Go back to `offset` if more was given out. The ring calls it, with its lock held."""
        offset = max(offset, self._begin)
        if self._given_end > offset:
            self.offset = self._given_end = min(self.offset, offset)
            self.retracted = True

    def release(self) -> None:
        self.ring.remove(self)

    def _limit(self) -> int:
        return self.ring.verified if self._condition is self.ring.consumable else self.ring.end
