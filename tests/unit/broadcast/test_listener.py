# SPDX-License-Identifier: Apache-2.0
"""Whoever connects, peers are let in."""

from __future__ import annotations

import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from kadeploy.broadcast.node.handshake import (
    FETCH,
    GREETING,
    MAGIC,
    NONCE_BYTES,
    PROBE,
    PROOF_BYTES,
    Greeting,
    connect,
)
from kadeploy.broadcast.node.listener import MAX_HALF_OPEN, MAX_PROBES, REST, Listener
from kadeploy.broadcast.node.probe import probe
from kadeploy.broadcast.node.wire import PeerLost, shut, spawn

SECRET = b"secret"


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener("127.0.0.1", SECRET, 5.0, lambda connection, greeting: connection.close())
    thread = spawn(listener.run)
    yield listener
    shut(listener.socket)
    thread.join(5)
    listener.socket.close()
    assert not thread.is_alive()


def test_strangers_who_say_nothing_keep_no_peer_out(listener: Listener) -> None:
    before = threading.active_count()
    with ExitStack() as stack:
        for _ in range(2 * MAX_HALF_OPEN):
            stack.enter_context(socket.create_connection(("127.0.0.1", listener.port)))
        began = time.monotonic()
        assert probe(("127.0.0.1", listener.port), SECRET, 10, 4.0) < 4.0
        assert time.monotonic() - began < 4.0  # well before the strangers have had their time
        assert threading.active_count() <= before + 1


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
    with connect(("127.0.0.1", listener.port), SECRET, Greeting(PROBE, last=1 << 60), 4.0) as connection:
        connection.sock.settimeout(4.0)
        with pytest.raises(ConnectionError):
            while True:
                connection.sock.sendall(bytes(1 << 20))


def test_liveness_is_told_while_all_places_for_probes_of_a_rate_are_taken(listener: Listener) -> None:
    peer = ("127.0.0.1", listener.port)
    greeting = Greeting(PROBE, last=1 << 20)
    before = threading.active_count()
    with ExitStack() as stack:
        for _ in range(MAX_PROBES):
            stack.enter_context(connect(peer, SECRET, greeting, 4.0))
        give_up = time.monotonic() + 4.0
        while threading.active_count() < before + MAX_PROBES:
            assert time.monotonic() < give_up
        connection = stack.enter_context(connect(peer, SECRET, greeting, 4.0))
        with pytest.raises(PeerLost, match="connection"):
            connection.receive()
        assert probe(peer, SECRET, 0, 4.0) < 4.0


def flood(port: int, stop: threading.Event) -> None:
    """Some hundred connections a second, of which the last ones stay open."""
    held: list[socket.socket] = []
    while not stop.wait(1 / 400):
        sock = socket.socket()
        held.append(sock)
        sock.setblocking(False)
        with suppress(BlockingIOError):
            sock.connect(("127.0.0.1", port))
        if len(held) > 600:
            held.pop(0).close()
    for sock in held:
        sock.close()


def test_flood_of_strangers_keeps_no_peer_out(listener: Listener) -> None:
    stop = threading.Event()
    flooding = threading.Thread(target=flood, args=(listener.port, stop))
    flooding.start()
    try:
        time.sleep(1.5)
        for _ in range(12):
            assert probe(("127.0.0.1", listener.port), SECRET, 0, 3.0) < 3.0
    finally:
        stop.set()
        flooding.join()


def test_strangers_of_one_address_do_not_push_out_a_peer_of_another(listener: Listener) -> None:
    peer = ("127.0.0.1", listener.port)
    with ExitStack() as stack:
        slow = stack.enter_context(socket.create_connection(peer, 4.0, ("127.0.0.3", 0)))
        strangers = [
            stack.enter_context(socket.create_connection(peer, 4.0, ("127.0.0.2", 0)))
            for _ in range(MAX_HALF_OPEN + 40)
        ]
        strangers[0].settimeout(4.0)
        assert strangers[0].recv(1) == b""  # it had to make room
        slow.sendall(MAGIC + bytes(NONCE_BYTES))
        slow.settimeout(4.0)
        assert len(slow.recv(100)) == NONCE_BYTES + PROOF_BYTES


@pytest.mark.parametrize(
    "said", [b"", MAGIC + b"half a nonce", MAGIC + bytes(NONCE_BYTES) + b"half a greeting"]
)
def test_half_of_a_handshake_is_not_waited_for(said: bytes) -> None:
    listener = Listener("127.0.0.1", SECRET, 0.3, lambda connection, greeting: connection.close())
    thread = spawn(listener.run)
    with socket.create_connection(("127.0.0.1", listener.port), 4.0) as sock:
        sock.sendall(said)
        began = time.monotonic()
        while sock.recv(100):
            pass
        assert 0.2 < time.monotonic() - began < 4.0
    shut(listener.socket)
    thread.join(5)
    listener.socket.close()


@pytest.mark.parametrize(
    "words",
    [
        [b"GET / HTTP/1.1\r\n\r\n".ljust(100)],
        [b"kachain2".ljust(40)],
        [MAGIC + bytes(NONCE_BYTES), bytes(GREETING.size + PROOF_BYTES)],
    ],
    ids=["another protocol", "another version", "no proof"],
)
def test_stranger_is_hung_up_on_at_once(listener: Listener, words: list[bytes]) -> None:
    with socket.create_connection(("127.0.0.1", listener.port), 4.0) as sock, suppress(ConnectionResetError):
        for word in words:
            sock.sendall(word)
        while sock.recv(100):
            pass


def test_work_of_the_listener_is_a_bounded_share_of_a_processor(
    monkeypatch: pytest.MonkeyPatch, listener: Listener
) -> None:
    """After a round it rests for a multiple of what that took; one runs while the clock is replaced.

    The listener ends before the clock is put back: it is asked for after `monkeypatch`."""
    rests: list[float] = []
    sleep = time.sleep

    def rest(seconds: float) -> None:
        rests.append(seconds)
        sleep(min(seconds, 0.01))

    used = iter(range(1_000_000, 1_001_000))
    monkeypatch.setattr("kadeploy.broadcast.node.listener.time.sleep", rest)
    monkeypatch.setattr("kadeploy.broadcast.node.listener.time.thread_time", lambda: next(used) / 1000)
    probe(("127.0.0.1", listener.port), SECRET, 0, 4.0)
    probe(("127.0.0.1", listener.port), SECRET, 0, 4.0)
    assert len(rests) > 1 and all(seconds == pytest.approx(REST / 1000) for seconds in rests[1:])
