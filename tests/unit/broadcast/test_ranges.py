# SPDX-License-Identifier: Apache-2.0
"""Ranges of the image for nodes that ask the head: what is sent, what is refused, and the end."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kadeploy.broadcast.file_source import FileSource
from kadeploy.broadcast.node.handshake import FEED, FETCH, Greeting
from kadeploy.broadcast.node.peer_connection import PeerConnection
from kadeploy.broadcast.node.wire import DATA, FRAME, SEAL, spawn
from kadeploy.broadcast.ranges import Ranges
from kadeploy.broadcast.seal_tree import SealTree
from kadeploy.broadcast.sealer import Sealer

IMAGE = b"abcdefghij"
CHUNK = 4
SILENCE = 0.5


class Served:
    """The ranges of a file, and what a peer hears that asks for one."""

    def __init__(self, path: Path, *, sealed: bool = True) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)
        self.asked = False
        self.sealer = Sealer(self.descriptor, len(IMAGE), CHUNK, self._fail)
        self.ranges = Ranges(len(IMAGE), CHUNK, SILENCE, self._source)
        if sealed:
            self.sealer.run()

    def ask(self, greeting: Greeting) -> socket.socket:
        near, far = socket.socketpair()
        far.settimeout(5)
        spawn(self.ranges.serve, PeerConnection(near, b"", b""), greeting)
        return far

    def _source(self, last: int) -> FileSource:
        self.asked = True
        return FileSource(self.descriptor, self.sealer, last, self._fail)

    def _fail(self, reason: str) -> None:
        raise AssertionError(reason)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(IMAGE)
    return path


@pytest.fixture
def served(image: Path) -> Iterator[Served]:
    served = Served(image)
    yield served
    served.ranges.stop()
    os.close(served.descriptor)


def said(sock: socket.socket) -> bytes:
    """All until the other end hangs up."""
    with sock:
        return b"".join(iter(lambda: sock.recv(100), b""))


def seal(boundary: int) -> bytes:
    tree = SealTree([hashlib.sha256(IMAGE[:end]).digest() for end in (4, 8, 10)])
    return FRAME.pack(SEAL, boundary) + tree.seal((boundary - 1) // CHUNK)


@pytest.mark.parametrize(
    ("first", "last", "frames"),
    [
        (0, 4, FRAME.pack(DATA, 4) + b"abcd" + seal(4)),
        (2, 4, FRAME.pack(DATA, 2) + b"cd" + seal(4)),
        (4, 10, seal(4) + FRAME.pack(DATA, 4) + b"efgh" + seal(8) + FRAME.pack(DATA, 2) + b"ij" + seal(10)),
    ],
)
def test_range_with_the_seals_of_its_chunks(served: Served, first: int, last: int, frames: bytes) -> None:
    """And with that of what lies before, where it begins at a boundary."""
    assert said(served.ask(Greeting(FETCH, first=first, last=last))) == frames


@pytest.mark.parametrize(
    "greeting",
    [
        Greeting(FETCH, first=0, last=5),  # in the middle of a chunk
        Greeting(FETCH, first=4, last=4),
        Greeting(FETCH, first=8, last=12),
        Greeting(FEED, first=0, last=4),
    ],
    ids=str,
)
def test_what_is_no_range(served: Served, greeting: Greeting) -> None:
    assert said(served.ask(greeting)) == b""


def test_stopping_ends_those_that_are_served_and_refuses_others(image: Path) -> None:
    served = Served(image, sealed=False)
    waiting = served.ask(Greeting(FETCH, first=0, last=4))
    give_up = time.monotonic() + 5
    while not served.asked and time.monotonic() < give_up:
        time.sleep(0.01)
    served.ranges.stop()
    assert said(waiting) == b""
    assert said(served.ask(Greeting(FETCH, first=0, last=4))) == b""
    os.close(served.descriptor)
