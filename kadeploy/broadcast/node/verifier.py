# SPDX-License-Identifier: Apache-2.0
"""Verifier: hashes the stream once, and compares it with the seal of each chunk.

A seal is the SHA-256 of everything from the first byte to the end of its chunk, so the seal of the last chunk
is the digest of the image: checking chunks costs no hashing of its own. The feeder sends it with its audit
path, by which it is checked against the root that the head has given.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable

from kadeploy.broadcast.node.ring import Cursor, Ring
from kadeploy.broadcast.node.roots import Roots
from kadeploy.broadcast.node.wire import DIGEST_BYTES


class Verifier:
    """Verifier of chunks. The receiving thread calls `note_seal`, any thread `note_roots`; `run` has a thread
    of its own."""

    def __init__(self, ring: Ring, roots: Roots, on_damage: Callable[[], None]) -> None:
        """`on_damage` is called when a chunk does not match its seal, or a seal its root; it must retract the
        chunk."""
        self._ring = ring
        self._roots = roots
        self._on_damage = on_damage
        self._cursor = Cursor(ring, ring.hashable)
        self._digest = hashlib.sha256()
        self._verified_digest = self._digest.copy()  # at `ring.verified`
        self._seals: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def note_seal(self, boundary: int, seal: bytes) -> None:
        """Note the feeder's seal of the stream up to `boundary`, with its audit path."""
        with self._lock:
            if boundary > self._ring.verified:
                self._seals[boundary] = seal
        self._wake()

    def note_roots(self, roots: list[str]) -> None:
        """Note the roots of the next sections, which the head has given."""
        self._roots.add(roots)
        self._wake()

    def retract(self) -> None:
        """Discard provisional data and their seals."""
        with self._lock:
            self._seals.clear()
            self._ring.retract(self._ring.verified)

    @property
    def sealed(self) -> int:
        """Offset up to which the feeder has sent seals, whether they have been checked or not."""
        with self._lock:
            return max(self._seals, default=self._ring.verified)

    @property
    def sha256(self) -> str:
        """SHA-256 of what has been verified, in hexadecimal."""
        return self._verified_digest.hexdigest()

    def run(self) -> None:
        """Hash and check until the whole stream is verified."""
        ring, cursor = self._ring, self._cursor
        while ring.verified < ring.size:
            piece = cursor.peek(1.0)
            if cursor.retracted:
                self._digest = self._verified_digest.copy()
                cursor.seek(ring.verified)
                continue
            self._digest.update(piece)
            cursor.advance(len(piece))
            if not cursor.retracted and cursor.offset == ring.boundary(ring.verified):
                self._check(cursor.offset)
        cursor.release()

    def _check(self, boundary: int) -> None:
        seal = self._await_seal(boundary)
        if seal is None:
            return
        if self._digest.digest() == seal[:DIGEST_BYTES] and self._roots.confirm(boundary, seal):
            before = self._verified_digest
            self._verified_digest = self._digest.copy()
            if not self._ring.verify(self._cursor, seal):
                self._verified_digest = before
            with self._lock:
                self._seals.pop(boundary, None)
            return
        self._on_damage()
        with self._ring.hashable:
            self._ring.hashable.wait_for(lambda: self._cursor.retracted)

    def _await_seal(self, boundary: int) -> bytes | None:
        """Wait for the seal of the chunk that ends at `boundary`, and for the root of its section; None when
        the chunk was retracted."""

        def can_be_checked() -> bool:
            return boundary in self._seals and self._roots.cover(boundary)

        with self._ring.hashable:
            self._ring.hashable.wait_for(lambda: self._cursor.retracted or can_be_checked())
            return None if self._cursor.retracted else self._seals.get(boundary)

    def _wake(self) -> None:
        with self._ring.hashable:
            self._ring.hashable.notify_all()
