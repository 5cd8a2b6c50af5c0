# SPDX-License-Identifier: Apache-2.0
"""Whoever connects, peers are let in."""

from __future__ import annotations

import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from kadeploy.broadcast.node.listener import MAX_UNPROVEN, Listener
from kadeploy.broadcast.node.wire import FETCH, PROBE, Greeting, connect, probe, shut, spawn

SECRET = b"secret"


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener("127.0.0.1", SECRET, 5.0, lambda sock, greeting: sock.close())
    thread = spawn(listener.run)
    yield listener
    shut(listener.socket)
    thread.join(5)
    listener.socket.close()
    assert not thread.is_alive()


def test_strangers_who_say_nothing_keep_no_peer_out(listener: Listener) -> None:
    before = threading.active_count()
    with ExitStack() as stack:
        for _ in range(3 * MAX_UNPROVEN):
            stack.enter_context(socket.create_connection(("127.0.0.1", listener.port)))
        began = time.monotonic()
        assert probe(("127.0.0.1", listener.port), SECRET, 10, 4.0) < 4.0
        assert time.monotonic() - began < 4.0  # well before the strangers have had their time
        assert threading.active_count() <= before + MAX_UNPROVEN + 1


def test_listener_outlives_a_lack_of_file_descriptors(listener: Listener) -> None:
    client = socket.socket()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        client.connect(("127.0.0.1", listener.port))
        time.sleep(0.3)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        client.close()
    connect(("127.0.0.1", listener.port), SECRET, Greeting(FETCH), 4.0).close()


def test_probe_takes_no_more_than_probes_have(listener: Listener) -> None:
    with connect(("127.0.0.1", listener.port), SECRET, Greeting(PROBE, last=1 << 60), 4.0) as sock:
        sock.settimeout(4.0)
        with pytest.raises(ConnectionError):
            while True:
                sock.sendall(bytes(1 << 20))
