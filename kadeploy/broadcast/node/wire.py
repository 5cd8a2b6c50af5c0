# SPDX-License-Identifier: Apache-2.0
"""What peers say to each other over TCP: the handshake that proves the secret, frames, the listener.

The one who connects either feeds (FEED: the receiver answers from which OFFSET it wants, and sends ACK as a
sign of life until COMPLETE, which means that it and everybody behind it have the whole stream) or asks the
head for a range of bytes (FETCH). The data follow their DATA frame, as many bytes as its number says.

Runs on nodes: only modules of Debian's python3-minimal, which has neither json nor hmac nor dataclasses.
"""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import threading
import time
from _operator import _compare_digest as same_digest
from collections.abc import Callable

MAGIC = b"kachain1"
FRAME = struct.Struct("!BQ")  # kind, number
GREETING = struct.Struct("!BQQ")  # FEED, rank of the feeder, 0; or FETCH, first byte, byte after the last
FEED, FETCH = 1, 2
DATA, PING, FORGOTTEN, OFFSET, ACK, COMPLETE, REFUSED = range(1, 8)
PIECE = 1 << 20  # most bytes moved by one call


class PeerLost(Exception):
    """The other end is gone or cannot be trusted; ``fleeting`` where a second attempt may find it again."""

    def __init__(self, reason: str, *, fleeting: bool = False) -> None:
        super().__init__(reason)
        self.fleeting = fleeting


def spawn(target: Callable[..., None], *arguments: object) -> threading.Thread:
    """Run `target` in a daemon thread: a relay that has to go never waits for a blocked call."""
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread


def read_exactly(sock: socket.socket, count: int, deadline: float | None = None) -> bytes:
    """`count` bytes; PeerLost at the end of the stream, after SO_RCVTIMEO, or at `deadline` (monotonic)."""
    data = b""
    while len(data) < count:
        if deadline is not None:
            sock.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            piece = sock.recv(count - len(data))
        except (BlockingIOError, TimeoutError):
            raise PeerLost("no sign of life") from None
        except OSError as error:
            raise PeerLost(f"connection lost: {error.strerror}", fleeting=True) from error
        if not piece:
            raise PeerLost("connection closed", fleeting=True)
        data += piece
    return data


def read_frame(sock: socket.socket) -> tuple[int, int]:
    kind, number = FRAME.unpack(read_exactly(sock, FRAME.size))
    return kind, number


def prove(secret: bytes, *parts: bytes) -> bytes:
    """Keyed BLAKE2b (RFC 7693) is a MAC by itself; python3-minimal has no hmac."""
    return hashlib.blake2b(b"".join(parts), key=secret, digest_size=32).digest()


def connect(peer: tuple[str, int], secret: bytes, greeting: bytes, silence: float) -> socket.socket:
    """Connect to `peer` within `silence` seconds, prove the secret to each other, say what is wanted."""
    deadline = time.monotonic() + silence
    try:
        sock = socket.create_connection(peer, timeout=silence)
    except OSError as error:
        raise PeerLost(f"cannot connect: {error.strerror or error}") from error
    try:
        nonce = os.urandom(32)
        sock.sendall(MAGIC + nonce)
        answer = read_exactly(sock, 64, deadline)
        if not same_digest(answer[32:], prove(secret, b"accepts", nonce, answer[:32])):
            raise PeerLost("does not know the secret of this broadcast")
        sock.sendall(greeting + prove(secret, b"connects", answer[:32], nonce, greeting))
        open_for_data(sock, silence)
    except OSError as error:
        sock.close()
        raise PeerLost(f"connection lost: {error.strerror or error}", fleeting=True) from error
    except PeerLost:
        sock.close()
        raise
    return sock


def accept(sock: socket.socket, secret: bytes, silence: float) -> tuple[int, int, int]:
    """The other half of `connect`: the greeting of a peer that proved the secret, or PeerLost."""
    deadline = time.monotonic() + silence
    hello = read_exactly(sock, len(MAGIC) + 32, deadline)
    if not hello.startswith(MAGIC):
        raise PeerLost("speaks another protocol")
    theirs, ours = hello[len(MAGIC) :], os.urandom(32)
    sock.sendall(ours + prove(secret, b"accepts", theirs, ours))
    answer = read_exactly(sock, GREETING.size + 32, deadline)
    greeting = answer[: GREETING.size]
    if not same_digest(answer[GREETING.size :], prove(secret, b"connects", ours, theirs, greeting)):
        raise PeerLost("does not know the secret of this broadcast")
    open_for_data(sock, silence)
    role, first, last = GREETING.unpack(greeting)
    return role, first, last


def open_for_data(sock: socket.socket, silence: float) -> None:
    """Blocking, but reads give up after `silence`. A write may block for as long as the peer has no room:
    its signs of life are what counts. Buffer sizes stay with the kernel, setting them ends its autotuning."""
    sock.settimeout(None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    seconds = int(silence)
    wait = struct.pack("ll", seconds, int((silence - seconds) * 1_000_000))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)


def shut(sock: socket.socket | None) -> None:
    """Wake whoever is blocked on `sock`; closing it is left to its owner."""
    if sock is not None:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it was not connected any more


class Listener:
    """Accepts peers; each that proved the secret goes to `welcome(socket, greeting)` in its own thread."""

    def __init__(
        self,
        address: str,
        secret: bytes,
        silence: float,
        welcome: Callable[[socket.socket, tuple[int, int, int]], None],
    ) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.create_server((address, 0), family=family, backlog=128)
        self.port: int = self.socket.getsockname()[1]
        self._secret, self._silence, self._welcome = secret, silence, welcome
        self._slots = threading.BoundedSemaphore(32)  # strangers cannot make threads without end

    def run(self) -> None:
        while True:
            try:
                sock, _ = self.socket.accept()
            except ConnectionAbortedError:
                continue
            except OSError:
                return  # shut by its owner
            self._slots.acquire()
            spawn(self._greet, sock)

    def _greet(self, sock: socket.socket) -> None:
        try:
            greeting = accept(sock, self._secret, self._silence)
        except (PeerLost, OSError):
            sock.close()
            return
        finally:
            self._slots.release()
        self._welcome(sock, greeting)
