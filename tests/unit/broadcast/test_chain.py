# SPDX-License-Identifier: Apache-2.0
"""The chain over real processes: what arrives, what is refused, what is left behind."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from kadeploy.broadcast.chain import ChainBroadcast, ChainSession, broadcast
from kadeploy.broadcast.head import Head
from kadeploy.broadcast.interface import Delivery, ImageSource, Trouble
from kadeploy.broadcast.node.handshake import FEED, FETCH, MAGIC, Greeting, connect, prove
from kadeploy.broadcast.node.wire import PeerLost
from kadeploy.errors import ServiceError

from .conftest import GATED, STORE, Bench
from .local import HEAD, LocalProcess, LocalTransport, alive, patched, recipients, until


def talk(peer: tuple[str, int], *words: bytes) -> bytes:
    """Everything `peer` answers until it hangs up."""
    answer = b""
    with socket.create_connection(peer, timeout=3) as sock:
        for word in words:
            sock.sendall(word)
            answer += sock.recv(100)
        with suppress(ConnectionResetError):
            answer += sock.recv(100)
    return answer


SLEEP = [["sleep", "60"]]


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_everybody_gets_the_image(bench: Bench, count: int) -> None:
    results = await bench.run(count)
    bench.assert_exact(results, failed=set())
    assert {result.sha256 for result in results.values()} == {bench.source.sha256}
    assert {result.received for result in results.values()} == {len(bench.data)}
    assert {report.node for report in bench.progress if report.received == len(bench.data)} == set(results)


async def test_without_a_declared_digest_the_file_decides(bench: Bench) -> None:
    bench.declare("")
    bench.assert_exact(await bench.run(2), failed=set())


async def test_empty_image(bench: Bench, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    bench.source, bench.data = ImageSource(empty, 0), b""
    bench.assert_exact(await bench.run(2), failed=set())


async def test_into_a_path(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "n1").write_bytes(b"older")
    results = await bench.run(1, str(tmp_path / "n1"))
    bench.assert_exact(results, failed=set())


async def test_pipeline_of_several_commands(bench: Bench) -> None:
    bench.assert_exact(await bench.run(2, [["gzip", "-1"], ["gzip", "-dc"], *STORE]), failed=set())


class Spoiling(LocalTransport):
    """The relays of some nodes have other words in their program."""

    def __init__(self, folder: Path, words: dict[str, tuple[str, str]]) -> None:
        super().__init__(folder)
        self._words = words

    def adopt(self, node: str, process: asyncio.subprocess.Process) -> LocalProcess:
        adopted = LocalProcess(process)
        return patched(adopted, *self._words[node]) if node in self._words else adopted


SPOILS_SENT = ("sock.sendall(piece)", "sock.sendall(bytes(len(piece)))")
SPOILS_RECEIVED = ("self._ring.commit(received)", "room[0] ^= 1; self._ring.commit(received)")


@pytest.mark.parametrize("spoilers", [["n1"], ["n2"], ["n1", "n2"]])
async def test_damaged_on_the_way(bench: Bench, spoilers: list[str]) -> None:
    """They spoil what they forward: they are named, and those behind get the right bytes from elsewhere."""
    bench.transport = Spoiling(bench.folder, dict.fromkeys(spoilers, SPOILS_SENT))
    results = await bench.run(4)
    bench.assert_exact(results, failed=set(spoilers))
    for node in spoilers:
        assert re.match(
            f"passed on damaged data: n[1-4] received damaged data from {node} after byte ",
            results[node].reason,
        )
        assert results[node].trouble is Trouble.DATA


async def test_last_one_spoils_what_nobody_takes(bench: Bench) -> None:
    bench.transport = Spoiling(bench.folder, {"n3": SPOILS_SENT})
    bench.assert_exact(await bench.run(3), failed=set())


@pytest.mark.parametrize("node", ["n1", "n2", "n3"])
async def test_node_whose_own_memory_spoils_what_it_receives(bench: Bench, node: str) -> None:
    """It accuses those who feed it, until it accuses the head."""
    bench.transport = Spoiling(bench.folder, {node: SPOILS_RECEIVED})
    results = await bench.run(3)
    bench.assert_exact(results, failed={node})
    assert results[node].reason.startswith("finds damaged what the head sends, and what ")
    assert results[node].trouble is Trouble.DATA


async def test_image_with_another_digest_than_declared(bench: Bench) -> None:
    actual = bench.source.sha256
    bench.declare("0" * 64)
    results = await bench.run(2)
    bench.assert_exact(results, failed={"n1", "n2"})
    assert {result.reason for result in results.values()} == {
        f"the image's SHA-256 is {actual}, the environment declares {'0' * 64}"
    }


async def test_damaged_image_is_blamed_before_the_consumer_that_choked_on_it(bench: Bench) -> None:
    bench.declare("0" * 64)
    results = await bench.run(2, [["gzip", "-dc"]])
    assert all("the environment declares" in result.reason for result in results.values())
    assert all("not in gzip format" in result.evidence for result in results.values())
    assert {result.trouble for result in results.values()} == {Trouble.IMAGE}


async def test_image_of_another_size_starts_nothing(bench: Bench) -> None:
    bench.source = replace(bench.source, size=7)
    results = await bench.run(2)
    assert "has 25178169 bytes, not 7" in results["n1"].reason
    assert bench.transport.processes == {}


async def test_missing_image(bench: Bench) -> None:
    bench.source = ImageSource(Path("/nonexistent/image"), 7)
    results = await bench.run(1)
    assert results["n1"].reason == "the image /nonexistent/image cannot be read: No such file or directory"


async def test_consumer_that_fails(bench: Bench) -> None:
    """Its node fails with what it said; the nodes behind it still get everything through it."""
    script = """
        [ $NODE = n2 ] || exec cat > "$OUT/$NODE"
        head -c 100000 > /dev/null; echo "tar: No space left on device" >&2; exit 3"""
    results = await bench.run(3, [["cat"], ["sh", "-c", script]])
    bench.assert_exact(results, failed={"n2"})
    assert results["n2"].reason == "sh exited with status 3"
    assert results["n2"].evidence == "tar: No space left on device"
    assert results["n2"].trouble is Trouble.CONSUMER
    assert results["n2"].sha256 == bench.source.sha256


@pytest.mark.parametrize(
    ("consumer", "reason"),
    [
        ([["cat"], ["/nonexistent/tar", "-x"]], "No such file or directory: /nonexistent/tar"),
        ("/nonexistent/disk", "No such file or directory: /nonexistent/disk"),
        ("/dev/nonexistent", "No such file or directory: /dev/nonexistent"),  # and none is made
        ("/dev/full", "cannot write /dev/full: No space left on device"),
        ([["sh", "-c", "kill -9 $$"]], "sh was killed by signal 9"),
    ],
)
async def test_consumer_that_cannot_work(bench: Bench, consumer: str, reason: str) -> None:
    results = await bench.run(1, consumer)
    assert reason in results["n1"].reason


async def test_unreachable_node_is_left_out(bench: Bench) -> None:
    bench.transport.unreachable = {"n1", "n3"}
    results = await bench.run(4)
    bench.assert_exact(results, failed={"n1", "n3"})
    assert results["n3"].reason == "n3 cannot be reached"
    assert results["n3"].evidence == "No route to host"
    assert results["n3"].trouble is Trouble.NODE


class Late(LocalTransport):
    """Hands a relay over when it has ended: nothing can be written to it any more."""

    async def start(self, node: str, arguments: Sequence[str]) -> LocalProcess:
        relay = await super().start(node, arguments)
        await relay.process.wait()
        return relay


@pytest.mark.parametrize("transport", [LocalTransport, Late])
async def test_node_without_python(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, transport: type[LocalTransport]
) -> None:
    bench.transport = transport(bench.folder)
    monkeypatch.setattr("kadeploy.broadcast.relay_handle.ARGUMENTS", ("python3", "/nonexistent.py"))
    results = await bench.run(1)
    assert results["n1"].reason == "the relay ended"
    assert "/nonexistent.py" in results["n1"].evidence


async def test_image_cut_during_the_broadcast(bench: Bench, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(bench.data)
    bench.source = replace(bench.source, path=copy)
    bench.shut_gates("n1")
    broadcast = asyncio.create_task(bench.run(2, GATED))
    await until(lambda: bench.transport.received("n2"))
    os.truncate(copy, 20 << 20)
    bench.open_gates()
    results = await broadcast
    reason = f"the image ends at byte {20 << 20}, it was cut during the broadcast"
    assert {result.reason for result in results.values()} == {reason}


async def test_deadline(bench: Bench) -> None:
    bench.options = replace(bench.options, deadline=1.0)
    results = await bench.run(2, SLEEP)
    assert {result.reason for result in results.values()} == {"not finished within 1 s"}
    assert {result.trouble for result in results.values()} == {Trouble.PEERS}


async def test_cancelling_leaves_nothing(bench: Bench, tmp_path: Path) -> None:
    broadcast = asyncio.create_task(bench.run(3, [["cat"], ["sh", "-c", "trap '' TERM; sleep 60; sleep 60"]]))
    await until(lambda: bench.transport.received("n3"))
    assert len(alive(tmp_path)) > 3
    broadcast.cancel()
    with pytest.raises(asyncio.CancelledError):
        await broadcast
    assert alive(tmp_path) == []


async def test_relay_ends_with_its_input(bench: Bench, tmp_path: Path) -> None:
    """A lost ssh connection ends the relay and its consumer."""
    broadcast = asyncio.create_task(bench.run(1, SLEEP))
    await until(lambda: bench.transport.received("n1"))
    stdin = bench.transport.processes["n1"].process.stdin
    assert stdin
    stdin.close()
    results = await broadcast
    assert results["n1"].reason.startswith("the relay ended")
    assert alive(tmp_path) == []


@pytest.mark.parametrize("greeting", [Greeting(FEED), Greeting(FETCH, last=100)])
async def test_stranger_without_the_secret(bench: Bench, greeting: Greeting) -> None:
    """Is refused, learns nothing, and disturbs nobody."""
    broadcast = asyncio.create_task(bench.run(2))
    await until(lambda: len(bench.transport.processes) == 2 and bench.transport.processes["n2"].port)
    peer = ("127.0.1.2", bench.transport.processes["n2"].port)
    with pytest.raises(PeerLost, match="does not know the secret"):
        await asyncio.to_thread(connect, peer, b"guess", greeting, 1.0)
    assert await asyncio.to_thread(talk, peer, b"GET / HTTP/1.0\r\n\r\n".ljust(40)) == b""
    guess = prove(b"guess", greeting.pack())
    assert len(await asyncio.to_thread(talk, peer, MAGIC + b"n" * 32, greeting.pack() + guess)) == 64
    bench.assert_exact(await broadcast, failed=set())


async def test_cancelling_while_nodes_wait_to_be_started(bench: Bench, tmp_path: Path) -> None:
    bench.options = replace(bench.options, start_fanout=1)
    broadcast = asyncio.create_task(bench.run(20))
    await until(lambda: bench.transport.processes)
    broadcast.cancel()
    with pytest.raises(asyncio.CancelledError):
        await broadcast
    assert alive(tmp_path) == []


async def test_head_address_that_is_not_ours(bench: Bench) -> None:
    """192.0.2.0/24 is set aside for documentation (RFC 5737)."""
    delivery = Delivery(bench.source, recipients(1), STORE, "192.0.2.1", bench.options)
    with pytest.raises(ServiceError, match=r"the broadcast cannot listen on 192\.0\.2\.1"):
        await ChainBroadcast().run(delivery, bench.transport, bench.progress.append)
    assert bench.transport.processes == {}


async def test_nobody_joins_while_the_last_inquiry_is_being_cancelled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that came in then would get no verdict: nobody attends to it any more."""
    answered = threading.Event()
    monkeypatch.setattr(Head, "is_unchanged", lambda self, offset: answered.wait(30))
    *first, late = recipients(3)
    delivery = Delivery(bench.source, first, GATED, HEAD, bench.options)
    sessions: list[ChainSession] = []
    bench.shut_gates("n1", "n2")
    running = asyncio.create_task(
        broadcast(delivery, bench.transport, bench.progress.append, sessions.append)
    )
    try:
        await until(lambda: bench.transport.received("n2"))
        bench.transport.say("n1", {"kind": "damaged", "lane": 0, "rank": 0, "offset": 0})
        [session] = sessions
        inquiries = session._reports._examinations
        await until(lambda: inquiries)
        bench.open_gates()
        async with asyncio.timeout(30):
            while not any(inquiry.cancelling() for inquiry in inquiries.values()):
                await asyncio.sleep(0)
        assert not session.join([late])
    finally:
        answered.set()
    bench.assert_exact(await running, failed=set())
