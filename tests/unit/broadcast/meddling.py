# SPDX-License-Identifier: Apache-2.0
"""A machine in the middle of a node and those who connect to it; it has no secret, but all that passes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from kadeploy.broadcast.node.handshake import FEED, GREETING, MAGIC, NONCE_BYTES, PROOF_BYTES, Greeting
from kadeploy.broadcast.node.roots import Roots
from kadeploy.broadcast.node.wire import DATA, DIGEST_BYTES, FRAME, SEAL, PeerLost, read_exactly, shut, spawn

from .local import LocalProcess, LocalTransport

HELLO = len(MAGIC) + NONCE_BYTES
ANSWER = NONCE_BYTES + PROOF_BYTES
EVIL = b"EVIL"


class Stream(NamedTuple):
    """Bytes of the stream and of a chunk, and chunks of a section."""

    size: int
    chunk: int
    section: int


class Middle:
    """The way to the port of one node, on its own address; what feeders of `ranks` send is replaced."""

    def __init__(self, address: str, port: int, stream: Stream, ranks: set[int] | None) -> None:
        self.server = socket.create_server((address, 0))
        self.port: int = self.server.getsockname()[1]
        self.replaced = 0  # connections
        self._node = address, port
        self._stream = stream
        self._ranks = ranks
        spawn(self._serve)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self.server.accept()
                spawn(self._pass, sock)

    def _pass(self, theirs: socket.socket) -> None:
        with suppress(PeerLost, OSError), theirs, socket.create_connection(self._node) as node:
            try:
                node.sendall(read_exactly(theirs, HELLO))
                theirs.sendall(read_exactly(node, ANSWER))
                greeting = read_exactly(theirs, GREETING.size + PROOF_BYTES)
                node.sendall(greeting)
                spawn(self._copy, node, theirs)
                role, _, rank, *_ = Greeting(*GREETING.unpack(greeting[: GREETING.size]))
                if role == FEED and (self._ranks is None or rank in self._ranks):
                    self.replaced += 1
                    spawn(self._copy, theirs, None)
                    self._feed(node)
                self._copy(theirs, node)
            finally:
                shut(theirs)
                shut(node)

    def _copy(self, source: socket.socket, target: socket.socket | None) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if target:
                    target.sendall(data)
        shut(target)

    def _feed(self, node: socket.socket) -> None:
        """Send an image of its own, sealed as one would be."""
        digest, roots, (size, chunk, _) = hashlib.sha256(), Roots(*self._stream, []), self._stream
        for first in range(0, size, chunk):
            boundary = min(first + chunk, size)
            data = (EVIL * chunk)[: boundary - first]
            digest.update(data)
            path = bytes(roots.length(boundary) - DIGEST_BYTES)
            frames = FRAME.pack(DATA, len(data)) + data + FRAME.pack(SEAL, boundary) + digest.digest() + path
            node.sendall(frames)


class Meddling(LocalTransport):
    """The way to some nodes goes through a machine in the middle."""

    def __init__(self, folder: Path, ways: dict[str, set[int] | None], stream: Stream) -> None:
        """`ways`: the ranks of the feeders that are replaced on the way to a node, None for all."""
        super().__init__(folder)
        self.middles: dict[str, Middle] = {}
        self._ways = ways
        self._stream = stream

    def adopt(self, node: str, process: asyncio.subprocess.Process) -> LocalProcess:
        adopted = LocalProcess(process)
        if node in self._ways:
            readline = adopted.readline

            async def readline_with_another_port() -> bytes:
                line = await readline()
                report = json.loads(line) if line.startswith(b"{") else {}
                if report.get("kind") != "listening":
                    return line
                address = f"127.0.1.{node.removeprefix('n')}"
                middle = Middle(address, report["port"], self._stream, self._ways[node])
                self.middles[node] = middle
                return json.dumps({**report, "port": middle.port}).encode() + b"\n"

            adopted.readline = readline_with_another_port  # type: ignore[method-assign]
        return adopted

    def close(self) -> None:
        for middle in self.middles.values():
            shut(middle.server)
            middle.server.close()
