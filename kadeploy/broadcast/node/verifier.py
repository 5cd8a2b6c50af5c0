# SPDX-License-Identifier: Apache-2.0
"""Verifier: hashes the stream once, in its order, and checks it against the seal of each chunk.

A seal is the SHA-256 of everything from the first byte to the end of its chunk, so the seal of the last chunk
is the digest of the image: chunks cost no hashing of their own.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable

from kadeploy.broadcast.node.ring import Cursor, Ring


class Verifier:
    """Verifier of chunks. `announce` is called by the thread that receives, `run` is a thread of its own."""

    def __init__(self, ring: Ring, damaged: Callable[[], None]) -> None:
        """`damaged` is called when a chunk does not match its seal; it must retract the chunk."""
        self._ring = ring
        self._damaged = damaged
        self._cursor = Cursor(ring, ring.hashable)
        self._digest = hashlib.sha256()
        self._good = self._digest.copy()  # at `ring.verified`
        self._announced: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def announce(self, boundary: int, seal: bytes) -> None:
        """Note the feeder's seal of everything up to `boundary`."""
        with self._lock:
            if boundary > self._ring.verified:
                self._announced[boundary] = seal
        with self._ring.hashable:
            self._ring.hashable.notify_all()

    def retract(self) -> None:
        """Forget what is not verified: data and seals."""
        with self._lock:
            self._announced.clear()
            self._ring.retract(self._ring.verified)

    @property
    def sealed(self) -> int:
        """Offset up to which the feeder has sealed the stream, be it checked already or not."""
        with self._lock:
            return max(self._announced, default=self._ring.verified)

    @property
    def sha256(self) -> str:
        """SHA-256 of what has been verified, in hexadecimal."""
        return self._good.hexdigest()

    def run(self) -> None:
        """Hash and check until the whole stream is verified."""
        ring, cursor = self._ring, self._cursor
        while ring.verified < ring.size:
            piece = cursor.peek(1.0)
            if cursor.retracted:
                self._digest = self._good.copy()
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
        if self._digest.digest() == seal:
            before = self._good
            self._good = self._digest.copy()
            if not self._ring.verify(self._cursor, seal):
                self._good = before
            with self._lock:
                self._announced.pop(boundary, None)
            return
        self._damaged()
        with self._ring.hashable:
            self._ring.hashable.wait_for(lambda: self._cursor.retracted)

    def _await_seal(self, boundary: int) -> bytes | None:
        """Wait for the seal of the chunk that ends at `boundary`; None when the chunk was retracted."""
        with self._ring.hashable:
            self._ring.hashable.wait_for(lambda: self._cursor.retracted or boundary in self._announced)
            return None if self._cursor.retracted else self._announced.get(boundary)
