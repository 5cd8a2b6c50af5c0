# SPDX-License-Identifier: Apache-2.0
"""Protocol of peers over TCP, after the handshake: frames, and how bytes are read.

The peer that connects has one of three roles:

FEED    The receiver answers REFUSED, or from which OFFSET it wants the stream; then it sends signs of
        life (ACK, or HELD when it had no room) until COMPLETE: it and all below it have the whole stream.
        The feeder sends DATA, as many bytes as the frame says. Where a chunk ends it sends a SEAL, once it
        has checked that chunk itself: the SHA-256 of the whole stream up to there, and its audit path to
        the root that the receiver has from the head; what was sent of a chunk before its seal is
        provisional. RETRACT takes it back down to an offset. OVERWRITTEN says up to which offset its ring
        does not hold the stream any more. Either can only be the first frame. PING is a sign of life.
FETCH   The head answers with DATA and SEAL for a range of the stream.
PROBE   The other end answers with ACK once it has read the announced number of bytes: it lives, and the
        time shows the rate of the links to it.

All frames but DATA and SEAL are control frames, and have a MAC (``peer_connection``).

Runs on nodes: only modules of Debian's python3-minimal, which has neither json nor dataclasses.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable

FRAME = struct.Struct("!BQ")  # kind, number
DATA, SEAL, RETRACT, PING, OVERWRITTEN = range(1, 6)  # of the feeder
OFFSET, ACK, HELD, COMPLETE, REFUSED = range(11, 16)  # of the receiver
DIGEST_BYTES = 32
PIECE = 1 << 20  # most bytes moved by one call


class PeerLost(Exception):
    """Loss of a peer: the other end is gone or cannot be trusted."""


class Retracted(Exception):
    """Retraction of the chunk that is being sent, as it arrived damaged: the successor has to discard it."""


def spawn(target: Callable[..., None], *arguments: object) -> threading.Thread:
    """Run `target` in a daemon thread, so that a relay that ends never waits for a blocked call."""
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread


def read_exactly(sock: socket.socket, count: int, deadline: float | None = None) -> bytes:
    """Read `count` bytes; raises PeerLost at the end of the stream, after SO_RCVTIMEO, or at `deadline`
    (monotonic)."""
    data = b""
    while len(data) < count:
        if deadline is not None:
            sock.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            piece = sock.recv(count - len(data))
        except (BlockingIOError, TimeoutError):
            raise PeerLost("no sign of life") from None
        except OSError as error:
            raise PeerLost(f"connection lost: {error.strerror}") from error
        if not piece:
            raise PeerLost("connection closed")
        data += piece
    return data


def open_for_data(sock: socket.socket, silence: float) -> None:
    """Make reads time out after `silence` seconds, and writes never: a write may block for as long as the
    peer has no room, as long as the peer sends signs of life. Buffer sizes are left to the kernel, since
    setting them ends its autotuning."""
    sock.settimeout(None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    seconds = int(silence)
    wait = struct.pack("ll", seconds, int((silence - seconds) * 1_000_000))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)


def shut(sock: socket.socket | None) -> None:
    """Wake the thread that is blocked on `sock`; closing it is left to its owner."""
    if sock is not None:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it was not connected any more
