# SPDX-License-Identifier: Apache-2.0
"""Connection of two peers that have proved the secret to each other.

Each direction has a key of its own, and a count of its control frames, which goes into their MAC. So nobody
between the peers can make such a frame, repeat one, leave one out, or change their order.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import hashlib
import socket
import struct
from _operator import _compare_digest as same_digest

from kadeploy.broadcast.node.wire import DATA, FRAME, SEAL, PeerLost, read_exactly

MAC_BYTES = 16
_COUNT = struct.Struct("!Q")


class PeerConnection:
    """Connection over `sock`; data and seals are sent and received over `sock` itself.

    One thread at a time sends control frames, and one receives frames.
    """

    def __init__(self, sock: socket.socket, sending: bytes, receiving: bytes) -> None:
        """`sending`, `receiving`: keys of the control frames in the two directions."""
        self.sock = sock
        self._sending = _Direction(sending)
        self._receiving = _Direction(receiving)
        self._unsent = b""

    def __enter__(self) -> PeerConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; closing it again does nothing."""
        self.sock.close()

    def send(self, kind: int, number: int) -> None:
        """Send a control frame; raises OSError."""
        self.sock.sendall(self._unsent + self._sign(kind, number))
        self._unsent = b""

    def offer(self, kind: int, number: int) -> None:
        """Send a control frame unless the peer does not read: never waits. Raises OSError."""
        if not self._unsent:
            self._unsent = self._sign(kind, number)
        try:
            self._unsent = self._unsent[self.sock.send(self._unsent, socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            return  # it is sent instead of the next one that is offered

    def receive(self, deadline: float | None = None) -> tuple[int, int]:
        """Receive the kind and the number of a frame; what follows a frame of data or a seal is left to the
        caller. Raises PeerLost, also for a control frame that the peer has not sent here."""
        frame = read_exactly(self.sock, FRAME.size, deadline)
        kind, number = FRAME.unpack(frame)
        if kind not in (DATA, SEAL):
            mac = read_exactly(self.sock, MAC_BYTES, deadline)
            if not same_digest(mac, self._receiving.sign_next(frame)):
                raise PeerLost("sent a frame that is forged")
        return kind, number

    def _sign(self, kind: int, number: int) -> bytes:
        frame = FRAME.pack(kind, number)
        return frame + self._sending.sign_next(frame)


class _Direction:
    """Key and count of the control frames in one direction."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._count = 0

    def sign_next(self, frame: bytes) -> bytes:
        """MAC of the next frame."""
        numbered = _COUNT.pack(self._count) + frame
        self._count += 1
        return hashlib.blake2b(numbered, key=self._key, digest_size=MAC_BYTES).digest()
