# SPDX-License-Identifier: Apache-2.0
"""The pieces of the node-side program, and that a bare python3 can run it."""

from __future__ import annotations

import ast
import json
import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kadeploy.broadcast.node.feeders import Feeders, NoFeeder
from kadeploy.broadcast.node.handshake import FEED, Greeting, connect
from kadeploy.broadcast.node.relay import encode
from kadeploy.broadcast.node.ring import Cursor, Ring
from kadeploy.broadcast.node.wire import PeerLost, spawn
from kadeploy.broadcast.program import MODULES, PACKAGE, program
from tests.nightly import examples

from .local import accept

# Of what the modules of `node/` use: in Debian's libpython3.11-minimal and python3.11-minimal (by dpkg -c).
MINIMAL = {
    "__future__", "_operator", "ast", "collections.abc", "errno", "fcntl", "hashlib", "os", "selectors",
    "signal", "socket", "struct", "subprocess", "sys", "threading", "time", "typing",
}  # fmt: skip

TEXT = st.text(st.characters(max_codepoint=0xD7FF) | st.just("\U0001f600"))
VALUES = st.recursive(
    TEXT | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def modules() -> dict[str, ast.Module]:
    """The parsed modules inside the program that is sent, in order."""
    length, _, text = program().partition(b"\n")
    assert len(text) == int(length)
    loop = next(node for node in ast.parse(text).body if isinstance(node, ast.For))
    return {name: ast.parse(source) for name, source in ast.literal_eval(loop.iter)}


def test_program_imports_only_what_a_minimal_python_has() -> None:
    seen: set[str] = set()
    for name, module in modules().items():
        for node in ast.walk(module):
            if isinstance(node, ast.ImportFrom):
                assert node.module in MINIMAL | seen, f"{name} imports {node.module}"
            elif isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= MINIMAL, name
        seen.add(name)
    assert seen == {f"{PACKAGE}.{name}" for name in MODULES}


@given(VALUES)
def test_events_are_json(value: object) -> None:
    text = encode(value)
    assert json.loads(text) == value
    assert "\n" not in text


def test_events_are_json_whatever_a_command_prints() -> None:
    assert json.loads(encode('\ue000 \udcff tar: "\\\x1b')) == '? ? tar: "\\\x1b'


@given(VALUES)
def test_what_the_head_sends_is_a_python_literal(value: object) -> None:
    assert ast.literal_eval(json.dumps(value, ensure_ascii=False)) == value


@settings(max_examples=examples(200), deadline=None)
@given(st.data())
def test_ring_never_loses_what_a_cursor_has_not_read(data: st.DataObject) -> None:
    """Random filling, verifying, taking back, reading and going back, against the stream itself."""
    chunk = data.draw(st.integers(1, 12))
    stream = bytes(range(100))
    ring = Ring(data.draw(st.integers(1, 40)), len(stream), chunk)
    checking, forward = Cursor(ring, ring.hashable), Cursor(ring, ring.filled)
    careful = Cursor(ring, ring.consumable)
    for _ in range(data.draw(st.integers(0, 80))):
        if data.draw(st.booleans()):
            limit = ring.boundary(ring.end) - ring.end
            room = ring.reserve(min(data.draw(st.integers(1, 30)), limit), 0)
            count = data.draw(st.integers(0, len(room)))
            room[:] = b"\xff" * len(room)
            room[:count] = stream[ring.end : ring.end + count]
            ring.commit(count)
        if data.draw(st.integers(0, 9)) == 0:
            ring.retract(data.draw(st.integers(ring.verified, max(ring.verified, ring.end))))
        if checking.retracted:
            checking.seek(ring.verified)
        checking.advance(len(checking.peek(0)))
        if checking.offset == ring.boundary(ring.verified) and ring.verified < len(stream):
            assert ring.verify(checking, b"seal")
        cursor = data.draw(st.sampled_from([forward, careful]))
        if data.draw(st.booleans()):
            wanted = data.draw(st.integers(0, ring.verified // chunk)) * chunk
            got = cursor.seek(wanted)
            assert got == wanted or got == ring.oldest() > wanted
        piece = cursor.peek(0)
        assert piece == stream[cursor.offset : cursor.offset + len(piece)]
        assert cursor.offset + len(piece) <= (ring.verified if cursor is careful else ring.end)
        cursor.advance(data.draw(st.integers(0, len(piece))))
        assert ring.end - min(forward.offset, careful.offset, ring.verified) <= ring.capacity


def test_receiver_does_not_wait_for_ever() -> None:
    feeders = Feeders(Ring(10, 10, 5), patience=0.1)
    feeders.expect(0, 1)
    with pytest.raises(NoFeeder, match=r"no predecessor for 0\.1 s \(the last one: none ever connected\)"):
        feeders.next()


def test_peer_that_hangs_after_the_handshake_is_found_by_its_silence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def serve() -> None:
            sock, _ = server.accept()
            accept(sock, b"secret")
            done.wait(5)
            sock.close()

        spawn(serve)
        with (
            connect(server.getsockname(), b"secret", Greeting(FEED), 0.2) as connection,
            pytest.raises(PeerLost, match="no sign of life"),
        ):
            connection.receive()
        done.set()


def test_peer_that_hangs_in_the_handshake() -> None:
    """The kernel accepts connections for a stopped process too."""
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(PeerLost, match="no sign of life"):
        connect(server.getsockname(), b"secret", Greeting(FEED), 0.2)


def test_reader_that_is_not_in_its_place_yet_gives_no_room() -> None:
    ring = Ring(8, 100, 4)
    checking = Cursor(ring, ring.hashable)
    for _ in range(4):
        ring.commit(len(ring.reserve(4, 0)))
        checking.advance(len(checking.peek(0)))
        assert ring.verify(checking, b"seal")
    Cursor(ring, ring.filled)
    assert len(ring.reserve(4, 0)) == 0


def test_what_was_verified_meanwhile_is_not_taken_back() -> None:
    ring = Ring(8, 100, 4)
    checking = Cursor(ring, ring.hashable)
    ring.commit(len(ring.reserve(4, 0)))
    checking.advance(len(checking.peek(0)))
    assert ring.verify(checking, b"seal")
    ring.retract(0)
    assert (ring.end, ring.verified) == (4, 4)


def test_reader_ahead_of_the_ring_has_nothing_to_take_back() -> None:
    """As when a successor has more than the node that is to feed it from now on."""
    ring = Ring(8, 100, 4)
    ahead = Cursor(ring, ring.filled)
    assert ahead.seek(8) == 8
    ring.commit(len(ring.reserve(2, 0)))
    ring.retract(0)
    assert (ahead.offset, ahead.retracted) == (8, False)


def test_seals_of_what_is_long_gone_are_forgotten() -> None:
    ring = Ring(8, 400, 4)
    checking = Cursor(ring, ring.hashable)
    for _ in range(100):
        ring.commit(len(ring.reserve(4, 0)))
        checking.advance(len(checking.peek(0)))
        assert ring.verify(checking, b"seal")
    assert set(range(ring.oldest(), 401, 4)) <= set(ring.seals)
    assert len(ring.seals) <= 8
