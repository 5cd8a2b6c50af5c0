# SPDX-License-Identifier: Apache-2.0
"""That a feeder without data does not take its successor for slow."""

from __future__ import annotations

import socket
import threading
import time

from kadeploy.broadcast.node.ring import Ring
from kadeploy.broadcast.node.source import RingSource


def test_data_that_come_in_drops_are_waited_for() -> None:
    """Each call finds something before it gives up waiting, and yet nearly all the time goes into that."""
    ring = Ring(1 << 20, 1 << 20, 1 << 20)
    source = RingSource(ring, 0)
    ours, theirs = socket.socketpair()

    def drip() -> None:
        for _ in range(10):
            time.sleep(0.05)
            ring.reserve(10, 0)
            ring.commit(10)

    dripping = threading.Thread(target=drip)
    began = time.monotonic()
    with ours, theirs:
        dripping.start()
        sent = 0
        while sent < 10:
            sent += source.transmit(ours, 5)
        seconds = time.monotonic() - began
        dripping.join()
    assert source.idle_seconds > 0.8 * seconds
