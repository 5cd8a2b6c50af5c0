# SPDX-License-Identifier: Apache-2.0
"""Reading in pieces of some size never waits for more than what comes."""

from __future__ import annotations

import time

import pytest

from kadeploy.broadcast.node.socket_reader import RATE_SPAN, SocketReader
from kadeploy.broadcast.node.wire import open_for_data, spawn

from .local import connected

PIECE = bytes(16 << 10)
PIECES = 200
PAUSE = 2 * RATE_SPAN / PIECES
STALL = 10.0  # seconds after which a reader gives up, and takes what there is


@pytest.mark.parametrize("rest", [4, 5000, 12000])
def test_the_rest_of_a_frame_and_what_follows_wake_a_reader_that_sleeps(rest: int) -> None:
    """After a steady stream that made larger pieces worth waiting for. The rest comes in two parts."""
    feeder, successor = connected()

    def feed() -> None:
        for _ in range(PIECES):
            feeder.sendall(PIECE)
            time.sleep(PAUSE)
        for words in (bytes(rest // 2), bytes(rest // 2), b"next"):
            time.sleep(0.1)
            feeder.sendall(words)

    with feeder, successor:
        open_for_data(successor, STALL)
        spawn(feed)
        began = time.monotonic()
        reader, left = SocketReader(successor, 1), PIECES * len(PIECE) + rest
        room = memoryview(bytearray(left))
        while left:
            left -= reader.read_into(room[:left], left)
        assert successor.recv(9) == b"next"
        assert time.monotonic() - began < STALL
