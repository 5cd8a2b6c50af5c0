# SPDX-License-Identifier: Apache-2.0
"""Source of the head's forwarders: the file of the image as frames."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from kadeploy.broadcast.node.wire import DATA, FRAME, SEAL
from kadeploy.broadcast.sealer import Sealer


class FileSource:
    """``Source`` of a forwarder over the open file; one per branch, as each has its own offset."""

    def __init__(
        self, descriptor: int, sealer: Sealer, last: int, on_bad_image: Callable[[str], None]
    ) -> None:
        """`last`: the boundary at which it ends. `on_bad_image(reason)` is called if the file is shorter."""
        self.offset = 0
        self.released = False
        self.idle_seconds = 0.0
        self._descriptor = descriptor
        self._sealer = sealer
        self._end = last
        self._on_bad_image = on_bad_image
        self._unsent_seal = 0  # the boundary of the seal that is sent next, 0 for none

    @property
    def exhausted(self) -> bool:
        return self.offset >= self._end and not self._unsent_seal

    @property
    def available(self) -> int:
        return self._end

    @property
    def between_frames(self) -> bool:
        return True

    def seek(self, offset: int) -> int:
        self.offset = self._unsent_seal = offset
        return offset

    def transmit(self, sock: socket.socket, timeout: float) -> bool:
        if self._unsent_seal:
            return self._seal(sock, self._unsent_seal, timeout)
        asked = time.monotonic()
        sealed = self._next(timeout)
        self.idle_seconds += time.monotonic() - asked
        if sealed is None:
            return False
        boundary, _ = sealed
        sock.sendall(FRAME.pack(DATA, boundary - self.offset), socket.MSG_MORE)
        while self.offset < boundary:
            sent = os.sendfile(sock.fileno(), self._descriptor, self.offset, boundary - self.offset)
            if not sent:
                self._on_bad_image(f"the image ends at byte {self.offset}, it was cut during the broadcast")
                raise OSError("the image ended early")
            self.offset += sent
        return self._seal(sock, boundary, timeout)

    def _next(self, timeout: float) -> tuple[int, bytes] | None:
        if not self.exhausted:
            return self._sealer.next(self.offset, timeout)
        self._sealer.pause(timeout)
        return None

    def _seal(self, sock: socket.socket, boundary: int, timeout: float) -> bool:
        """Send the seal of the chunk that ends at `boundary`; False when it is not known within `timeout`. A
        successor that begins at a boundary may still lack that of the chunk before."""
        sealed = self._sealer.next(boundary - 1, timeout)
        if sealed is None:
            return False
        self._unsent_seal = 0
        if sealed[0] == boundary:
            sock.sendall(FRAME.pack(SEAL, boundary) + sealed[1])
        return True

    def wake(self) -> None:
        self._sealer.wake()

    def release(self) -> None:
        self.released = True
