# SPDX-License-Identifier: Apache-2.0
"""Control frames that somebody between two peers makes, repeats, leaves out or turns round."""

from __future__ import annotations

import socket

import pytest

from kadeploy.broadcast.node.handshake import FEED, Acceptance, Greeting, connect
from kadeploy.broadcast.node.peer_connection import MAC_BYTES, PeerConnection
from kadeploy.broadcast.node.wire import (
    ACK,
    COMPLETE,
    DATA,
    FRAME,
    HELD,
    OFFSET,
    OVERWRITTEN,
    PING,
    REFUSED,
    RETRACT,
    PeerLost,
    read_exactly,
    spawn,
)

from .local import connected, peers

CONTROL = [OFFSET, ACK, HELD, COMPLETE, PING, RETRACT, OVERWRITTEN, REFUSED]
SIGNED = FRAME.size + MAC_BYTES


class Middle:
    """A machine between two peers: what `near` sends it has, and says to `far` what it likes."""

    def __init__(self) -> None:
        near, self._heard = connected()
        self._said, far = connected()
        keys = b"one way", b"the other way"
        self.near, self.far = PeerConnection(near, *keys), PeerConnection(far, *reversed(keys))
        far.settimeout(5)

    def hear(self, kind: int, number: int = 0) -> bytes:
        self.near.send(kind, number)
        return read_exactly(self._heard, SIGNED)

    def say(self, *frames: bytes) -> None:
        self._said.sendall(b"".join(frames))

    def close(self) -> None:
        for end in (self.near.sock, self.far.sock, self._heard, self._said):
            end.close()


@pytest.fixture
def middle() -> Middle:
    return Middle()


@pytest.mark.parametrize("kind", CONTROL)
def test_frames_of_the_peer(middle: Middle, kind: int) -> None:
    for number in (7, 1 << 60):
        middle.say(middle.hear(kind, number))
        assert middle.far.receive() == (kind, number)
    middle.close()


@pytest.mark.parametrize("kind", CONTROL)
def test_frame_that_is_made_up(middle: Middle, kind: int) -> None:
    middle.say(FRAME.pack(kind, 0) + bytes(MAC_BYTES))
    with pytest.raises(PeerLost, match="forged"):
        middle.far.receive()
    middle.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda first, second: [first, first],
        lambda first, second: [second, first],
        lambda first, second: [second],
        lambda first, second: [FRAME.pack(COMPLETE, 0) + first[FRAME.size :]],
        lambda first, second: [FRAME.pack(ACK, 2) + first[FRAME.size :]],
    ],
    ids=["repeated", "turned round", "left out", "of another kind", "of another number"],
)
def test_frames_that_are_not_what_was_sent(middle: Middle, change: object) -> None:
    assert callable(change)
    middle.say(*change(middle.hear(ACK, 1), middle.hear(ACK, 1)))
    with pytest.raises(PeerLost, match="forged"):
        for _ in range(2):
            middle.far.receive()
    middle.close()


def test_frame_that_is_thrown_back(middle: Middle) -> None:
    """The two directions have keys of their own."""
    frame = middle.hear(PING)
    middle._heard.sendall(frame)
    with pytest.raises(PeerLost, match="forged"):
        middle.near.receive()
    middle.close()


def test_data_have_no_mac(middle: Middle) -> None:
    middle.say(FRAME.pack(DATA, 3))
    assert middle.far.receive() == (DATA, 3)
    middle.close()


def test_keys_are_of_one_handshake() -> None:
    """A frame of another connection of the same peers is a forged one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ends: list[PeerConnection] = []

        def serve() -> None:
            for _ in range(2):
                sock, _ = server.accept()
                acceptance = Acceptance(b"secret")
                while not acceptance.greeting:
                    sock.sendall(acceptance.receive(read_exactly(sock, acceptance.wanted)))
                ends.append(acceptance.connection(sock))

        thread = spawn(serve)
        first, second = (connect(server.getsockname(), b"secret", Greeting(FEED), 5.0) for _ in range(2))
        thread.join(5)
    first.send(PING, 0)
    assert ends[0].receive() == (PING, 0)
    first.send(PING, 0)
    second.sock.sendall(read_exactly(ends[0].sock, SIGNED))
    with pytest.raises(PeerLost, match="forged"):
        ends[1].receive()
    for end in (first, second, *ends):
        end.close()


def test_offered_frame_that_has_no_room_is_sent_later_and_whole() -> None:
    """A peer that does not read holds nobody up, and gets no half of a frame."""
    near, far = peers()
    with near, far:
        near.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        for number in range(1_000_000):
            near.offer(ACK, number)
            if near._unsent:
                break
        else:
            raise AssertionError("the buffers never were full")
        received = [far.receive() for _ in range(number)]
        assert received == [(ACK, count) for count in range(number)]
        near.offer(ACK, 0)  # sends the one that was left
        assert far.receive() == (ACK, number)
        near.send(COMPLETE, 0)
        assert far.receive() == (COMPLETE, 0)
