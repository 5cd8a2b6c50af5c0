# SPDX-License-Identifier: Apache-2.0
"""Protocol of peers over TCP: the handshake that proves the secret, and frames.

The peer that connects has one of three roles:

FEED    The receiver answers REFUSED, or from which OFFSET it wants the stream; then it sends signs of
        life (ACK, or HELD when it had no room) until COMPLETE: it and all below it have the whole stream.
        The feeder sends DATA, as many bytes as the frame says. Where a chunk ends it sends a SEAL with the
        SHA-256 of the whole stream up to there, once it has checked that itself; what was sent of a chunk
        before its seal is provisional. RETRACT takes it back down to an offset. OVERWRITTEN says up to
        which offset its ring does not hold the stream any more. Either can only be the first frame.
        PING is a sign of life.
FETCH   The head answers with the same frames for a range of the stream.
PROBE   The other end answers with ACK once it has read the announced number of bytes: it lives, and the
        time shows the rate of the links to it.

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
from typing import NamedTuple

MAGIC = b"kachain2"
FRAME = struct.Struct("!BQ")  # kind, number
FEED, FETCH, PROBE = 1, 2, 3
DATA, SEAL, RETRACT, PING, OVERWRITTEN = range(1, 6)  # of the feeder
OFFSET, ACK, HELD, COMPLETE, REFUSED = range(11, 16)  # of the receiver
DIGEST_BYTES = 32
SYNS = 3  # attempts to reach a peer
PIECE = 1 << 20  # most bytes moved by one call
LONGEST_PROBE = 8 << 20


class Greeting(NamedTuple):
    """Role of the peer that connects, and its request: FEED with its lane and rank, FETCH from `first` to
    before `last`, PROBE with `last` bytes."""

    role: int
    lane: int = 0
    rank: int = 0
    first: int = 0
    last: int = 0

    def pack(self) -> bytes:
        return GREETING.pack(*self)


GREETING = struct.Struct("!BIIQQ")


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


def read_frame(sock: socket.socket) -> tuple[int, int]:
    kind, number = FRAME.unpack(read_exactly(sock, FRAME.size))
    return kind, number


def prove(secret: bytes, *parts: bytes) -> bytes:
    """Compute the proof of the secret: keyed BLAKE2b (RFC 7693) is a MAC by itself; python3-minimal has no
    hmac."""
    return hashlib.blake2b(b"".join(parts), key=secret, digest_size=32).digest()


def connect(peer: tuple[str, int], secret: bytes, greeting: Greeting, silence: float) -> socket.socket:
    """Connect to `peer` within `silence` seconds, prove the secret to each other, send the greeting. Raises
    PeerLost."""
    deadline = time.monotonic() + silence
    try:
        sock = _reach(peer, silence)
    except OSError as error:
        raise PeerLost(f"cannot connect: {error.strerror or error}") from error
    try:
        nonce = os.urandom(32)
        sock.sendall(MAGIC + nonce)
        answer = read_exactly(sock, 64, deadline)
        if not same_digest(answer[32:], prove(secret, b"accepts", nonce, answer[:32])):
            raise PeerLost("does not know the secret of this broadcast")
        request = greeting.pack()
        sock.sendall(request + prove(secret, b"connects", answer[:32], nonce, request))
        open_for_data(sock, silence)
    except OSError as error:
        sock.close()
        raise PeerLost(f"connection lost: {error.strerror or error}") from error
    except PeerLost:
        sock.close()
        raise
    return sock


def _reach(peer: tuple[str, int], silence: float) -> socket.socket:
    """Connect, with a new SYN after a third of `silence`: the kernel repeats a lost one after a second only
    (RFC 6298), by which time the peer would count as dead."""
    for _ in range(SYNS - 1):
        try:
            return socket.create_connection(peer, timeout=silence / SYNS)
        except TimeoutError:
            continue
    return socket.create_connection(peer, timeout=silence / SYNS)


def accept(sock: socket.socket, secret: bytes, silence: float) -> Greeting:
    """Answer a ``connect``: returns the greeting of a peer that proved the secret, or raises PeerLost."""
    deadline = time.monotonic() + silence
    hello = read_exactly(sock, len(MAGIC) + 32, deadline)
    if not hello.startswith(MAGIC):
        raise PeerLost("speaks another protocol")
    theirs, ours = hello[len(MAGIC) :], os.urandom(32)
    sock.sendall(ours + prove(secret, b"accepts", theirs, ours))
    answer = read_exactly(sock, GREETING.size + 32, deadline)
    request = answer[: GREETING.size]
    if not same_digest(answer[GREETING.size :], prove(secret, b"connects", ours, theirs, request)):
        raise PeerLost("does not know the secret of this broadcast")
    open_for_data(sock, silence)
    return Greeting(*GREETING.unpack(request))


def probe(peer: tuple[str, int], secret: bytes, count: int, timeout: float) -> float:
    """Send `count` bytes to `peer`; returns the seconds until it has taken them. Raises PeerLost when it does
    not answer."""
    with connect(peer, secret, Greeting(PROBE, last=count), timeout) as sock:
        began = time.monotonic()
        try:
            sock.settimeout(timeout)
            sock.sendall(bytes(count))
            read_exactly(sock, FRAME.size, began + timeout)
        except OSError as error:
            raise PeerLost(f"connection lost: {error.strerror or error}") from error
        return time.monotonic() - began


def answer_probe(sock: socket.socket, greeting: Greeting) -> None:
    """Answer a ``probe``, and close `sock`."""
    with sock:
        left = min(greeting.last, LONGEST_PROBE)
        try:
            while left:
                left -= len(read_exactly(sock, min(left, 1 << 16)))
            sock.sendall(FRAME.pack(ACK, 0))
        except (PeerLost, OSError):
            return  # the peer has given up


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
