# SPDX-License-Identifier: Apache-2.0
"""Sealer: reads the image once, ahead of the threads that send it, and makes seals and the roots over them.

Of an image whose seals are known the whole is one section, whose root is known at once; what is read must be
what it was. Of others a section is short, as nothing of it can be sent before its root is made.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence

from kadeploy.broadcast.seal_tree import SealTree

SECTION = 16  # chunks
READ_AHEAD = 256 << 20  # bytes: what was hashed is still in the page cache when it is sent


class Sealer:
    """Seals of the image. That of a chunk is the SHA-256 of everything from the first byte to its end."""

    def __init__(
        self,
        descriptor: int,
        size: int,
        chunk: int,
        on_bad_image: Callable[[str], None],
        on_root: Callable[[str], None] = lambda root: None,
        known: Sequence[bytes] = (),
    ) -> None:
        """`known`: the seals that the image must have, none where they are not known. From the thread that
        runs `run` are called `on_root(root)` for each section whose root was not known, in hexadecimal, and
        `on_bad_image(reason)` when the file has less than `size` bytes, cannot be read, or has other
        seals."""
        self.section = len(known) or SECTION  # chunks
        self._descriptor = descriptor
        self._size = size
        self._chunk = chunk
        self._on_bad_image = on_bad_image
        self._on_root = on_root
        self._known = known
        self._trees = [SealTree(known)] if known else []  # of section 0, 1, …
        # Roots that are known before the image is read, in hexadecimal.
        self.known_roots = [tree.root.hex() for tree in self._trees]
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
            if not self._is_known(seal := digest.digest()):
                self._on_bad_image("the image was changed after it was checked")
                return
            self._add(seal, is_last=start + self._chunk >= self._size)

    @property
    def new_seals(self) -> list[bytes]:
        """Seals of the whole image that were not known before; none as long as it is not sealed to its
        end."""
        return [] if self._known or not self.sha256 else list(self._seals)

    @property
    def sha256(self) -> str:
        """SHA-256 of the whole image, in hexadecimal; '' as long as it is not sealed to its end."""
        if not self._size:
            return hashlib.sha256().hexdigest()
        return self._seals[-1].hex() if len(self._seals) * self._chunk >= self._size else ""

    def next(self, offset: int, timeout: float) -> tuple[int, bytes] | None:
        """End of the chunk in which `offset` lies, and its seal with the audit path; None when it may not be
        sent within `timeout` seconds, as it was not read yet, or the root of its section is not made."""
        number = offset // self._chunk
        with self._changed:
            if offset > self._wanted:
                self._wanted = offset
                self._changed.notify_all()
            if not self._has_root(number):
                self._changed.wait(timeout)
            if not self._has_root(number):
                return None
            section, index = divmod(number, self.section)
            return min((number + 1) * self._chunk, self._size), self._trees[section].seal(index)

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

    def _is_known(self, seal: bytes) -> bool:
        return not self._known or self._known[len(self._seals)] == seal

    def _add(self, seal: bytes, *, is_last: bool) -> None:
        """Add the seal of the next chunk, and the tree of a section that it completes."""
        with self._changed:
            self._seals.append(seal)
            first = len(self._trees) * self.section
            is_complete = len(self._seals) == first + self.section or is_last
            if is_complete and not self._known:
                self._trees.append(SealTree(self._seals[first:]))
                self._on_root(self._trees[-1].root.hex())
            self._changed.notify_all()

    def _has_root(self, number: int) -> bool:
        return number < len(self._seals) and number // self.section < len(self._trees)

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
