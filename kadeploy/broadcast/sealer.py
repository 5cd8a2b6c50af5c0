# SPDX-License-Identifier: Apache-2.0
"""Sealer: reads the image once, ahead of the threads that send it, and makes the seal of each chunk."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable

READ_AHEAD = 256 << 20  # bytes: what was hashed is still in the page cache when it is sent


class Sealer:
    """Seals of the image. That of a chunk is the SHA-256 of everything from the first byte to its end."""

    def __init__(self, descriptor: int, size: int, chunk: int, on_bad_image: Callable[[str], None]) -> None:
        """`on_bad_image(reason)` is called from the thread that runs `run` when the file has less than `size`
        bytes or cannot be read."""
        self._descriptor = descriptor
        self._size = size
        self._chunk = chunk
        self._on_bad_image = on_bad_image
        self._seals: list[bytes] = []  # of chunk 0, 1, …
        self._wanted = 0  # the highest offset that was asked for
        self._stopped = False
        self._changed = threading.Condition()

    def run(self) -> None:
        """Seal the whole file, or as much as there is until `stop`."""
        digest, buffer = hashlib.sha256(), memoryview(bytearray(self._chunk))
        for start in range(0, self._size, self._chunk):
            chunk = buffer[: min(self._chunk, self._size - start)]
            if not self._may_continue(start) or not self._read(chunk, start):
                return
            digest.update(chunk)
            with self._changed:
                self._seals.append(digest.digest())
                self._changed.notify_all()

    @property
    def sha256(self) -> str:
        """SHA-256 of the whole image, in hexadecimal; '' as long as it is not sealed to its end."""
        if not self._size:
            return hashlib.sha256().hexdigest()
        return self._seals[-1].hex() if len(self._seals) * self._chunk >= self._size else ""

    def next(self, offset: int, timeout: float) -> tuple[int, bytes] | None:
        """End of the chunk in which `offset` lies, and its seal; None when it is not known within `timeout`
        seconds."""
        number = offset // self._chunk
        with self._changed:
            if offset > self._wanted:
                self._wanted = offset
                self._changed.notify_all()
            if len(self._seals) <= number:
                self._changed.wait(timeout)
            if len(self._seals) <= number:
                return None
            return min((number + 1) * self._chunk, self._size), self._seals[number]

    def is_unchanged(self, offset: int) -> bool:
        """Read the file again; True when it is, up to the end of the chunk at `offset`, what was sealed, or
        when that chunk is not sealed yet."""
        number = offset // self._chunk
        if number >= len(self._seals):
            return True
        digest, buffer = hashlib.sha256(), memoryview(bytearray(self._chunk))
        for start in range(0, (number + 1) * self._chunk, self._chunk):
            chunk = buffer[: min(self._chunk, self._size - start)]
            if self._stopped or not self._read(chunk, start):
                return False
            digest.update(chunk)
        return digest.digest() == self._seals[number]

    def pause(self, timeout: float) -> None:
        """Wait for `wake`, at most `timeout` seconds."""
        with self._changed:
            self._changed.wait(timeout)

    def wake(self) -> None:
        """End all waits."""
        with self._changed:
            self._changed.notify_all()

    def stop(self) -> None:
        """End `run` soon."""
        self._stopped = True
        self.wake()

    def _may_continue(self, start: int) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or start <= self._wanted + READ_AHEAD)
            return not self._stopped

    def _read(self, chunk: memoryview, start: int) -> bool:
        done = 0
        try:
            while done < len(chunk):
                count = os.preadv(self._descriptor, [chunk[done:]], start + done)
                if not count:
                    self._on_bad_image(
                        f"the image ends at byte {start + done}, it was cut during the broadcast"
                    )
                    return False
                done += count
        except OSError as error:
            self._on_bad_image(f"the image cannot be read: {error.strerror}")
            return False
        return True
