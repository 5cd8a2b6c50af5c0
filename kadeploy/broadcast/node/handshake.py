# SPDX-License-Identifier: Apache-2.0
"""Handshake of peers: both prove that they know the secret, and get the keys of their connection.

The peer that connects sends MAGIC and a nonce; the other one answers with a nonce and its proof; the first
one sends its greeting and its proof. A proof is a keyed BLAKE2b (RFC 7693), which is a MAC by itself:
python3-minimal has no hmac.

Runs on nodes: only modules of Debian's python3-minimal, which has no dataclasses.
"""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import time
from _operator import _compare_digest as same_digest
from typing import NamedTuple

from kadeploy.broadcast.node.peer_connection import PeerConnection
from kadeploy.broadcast.node.wire import PeerLost, open_for_data, read_exactly

MAGIC = b"kachain3"
NONCE_BYTES = PROOF_BYTES = 32
FEED, FETCH, PROBE = 1, 2, 3
SYNS = 3  # attempts to reach a peer
GREETING = struct.Struct("!BIIQQ")


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


def prove(secret: bytes, *parts: bytes) -> bytes:
    """Compute the proof of the secret, or a key by it, for these parts."""
    return hashlib.blake2b(b"".join(parts), key=secret, digest_size=PROOF_BYTES).digest()


def make_keys(secret: bytes, connecting: bytes, accepting: bytes, request: bytes) -> tuple[bytes, bytes]:
    """Make the keys of a connection: for what the peer that connects sends, and for the other direction.
    `connecting` and `accepting` are the nonces, `request` is the packed greeting."""
    parts = connecting, accepting, request
    return prove(secret, b"frames of who connects", *parts), prove(secret, b"frames of who accepts", *parts)


def connect(peer: tuple[str, int], secret: bytes, greeting: Greeting, silence: float) -> PeerConnection:
    """Connect to `peer` within `silence` seconds, prove the secret to each other, send the greeting. Raises
    PeerLost."""
    deadline = time.monotonic() + silence
    try:
        sock = _reach(peer, silence)
    except OSError as error:
        raise PeerLost(f"cannot connect: {error.strerror or error}") from error
    try:
        nonce = os.urandom(NONCE_BYTES)
        sock.sendall(MAGIC + nonce)
        answer = read_exactly(sock, NONCE_BYTES + PROOF_BYTES, deadline)
        theirs, proof = answer[:NONCE_BYTES], answer[NONCE_BYTES:]
        if not same_digest(proof, prove(secret, b"accepts", nonce, theirs)):
            raise PeerLost("does not know the secret of this broadcast")
        request = greeting.pack()
        sock.sendall(request + prove(secret, b"connects", theirs, nonce, request))
        open_for_data(sock, silence)
    except OSError as error:
        sock.close()
        raise PeerLost(f"connection lost: {error.strerror or error}") from error
    except PeerLost:
        sock.close()
        raise
    sending, receiving = make_keys(secret, nonce, theirs, request)
    return PeerConnection(sock, sending, receiving)


def _reach(peer: tuple[str, int], silence: float) -> socket.socket:
    """Connect, with a new SYN after a third of `silence`: the kernel repeats a lost one after a second only
    (RFC 6298), by which time the peer would count as dead."""
    for _ in range(SYNS - 1):
        try:
            return socket.create_connection(peer, timeout=silence / SYNS)
        except TimeoutError:
            continue
    return socket.create_connection(peer, timeout=silence / SYNS)


class Acceptance:
    """Handshake with a peer that connects, as bytes in and bytes out. `wanted`: bytes that are missing until
    it goes on; `greeting`: None until the peer has proved the secret."""

    def __init__(self, secret: bytes) -> None:
        self.greeting: Greeting | None = None
        self.wanted = len(MAGIC) + NONCE_BYTES
        self._secret = secret
        self._received = b""
        self._theirs = b""
        self._ours = os.urandom(NONCE_BYTES)
        self._keys = b"", b""

    def receive(self, data: bytes) -> bytes:
        """Take at most `wanted` bytes; returns what to answer. Raises PeerLost."""
        self._received += data
        self.wanted -= len(data)
        if self.wanted:
            return b""
        received, self._received = self._received, b""
        return self._finish(received) if self._theirs else self._answer(received)

    def connection(self, sock: socket.socket) -> PeerConnection:
        """Connection to the peer that has proved the secret, over `sock`."""
        receiving, sending = self._keys
        return PeerConnection(sock, sending, receiving)

    def _answer(self, hello: bytes) -> bytes:
        if not hello.startswith(MAGIC):
            raise PeerLost("speaks another protocol")
        self._theirs = hello[len(MAGIC) :]
        self.wanted = GREETING.size + PROOF_BYTES
        return self._ours + prove(self._secret, b"accepts", self._theirs, self._ours)

    def _finish(self, received: bytes) -> bytes:
        request, proof = received[: GREETING.size], received[GREETING.size :]
        if not same_digest(proof, prove(self._secret, b"connects", self._ours, self._theirs, request)):
            raise PeerLost("does not know the secret of this broadcast")
        self._keys = make_keys(self._secret, self._theirs, self._ours, request)
        self.greeting = Greeting(*GREETING.unpack(request))
        return b""
