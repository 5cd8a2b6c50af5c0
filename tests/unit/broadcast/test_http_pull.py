# SPDX-License-Identifier: Apache-2.0
"""The broadcast by HTTP, to nodes that are local processes with few programs."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from kadeploy.broadcast.http_pull import HttpPullBroadcast
from kadeploy.broadcast.interface import Delivery, ImageSource, Pipeline, RelayResult, Trouble
from kadeploy.broadcast.server import PIECE, SPARE_CONNECTIONS, ImageServer
from kadeploy.errors import ServiceError

from .conftest import STORE, Bench
from .local import HEAD, alive, recipients, until
from .pulling import SmallTransport

pytestmark = pytest.mark.needs("busybox", "curl", "wget")


class PullBench(Bench):
    """As for the chain, but each node fetches the image."""

    tools: tuple[str, ...] = ("curl",)

    async def run(self, count: int, consumer: Pipeline | str = STORE) -> Mapping[str, RelayResult]:
        self.transport = SmallTransport(self.folder, *self.tools)
        delivery = Delivery(self.source, recipients(count), consumer, HEAD, self.options)
        self.results = await HttpPullBroadcast().run(delivery, self.transport, self.progress.append)
        assert self.transport.left_files() == []
        return self.results


@pytest.fixture
def bench(bench: Bench, image: Path, tmp_path: Path) -> PullBench:
    """Checks after each test that nothing was left running."""
    pulling = PullBench(image, tmp_path)
    pulling.options = replace(pulling.options, patience=3.0)
    return pulling


@pytest.mark.parametrize(
    ("tools", "named"),
    [(("curl", "wget"), "curl"), (("wget",), "wget"), (("busybox",), "busybox wget")],
    ids=["curl", "wget", "busybox"],
)
async def test_everybody_gets_the_image(bench: PullBench, tools: tuple[str, ...], named: str) -> None:
    bench.tools = tools
    results = await bench.run(5)
    bench.assert_exact(results, set())
    assert {result.notes for result in results.values()} == {(f"fetched by {named}",)}
    assert {result.sha256 for result in results.values()} == {bench.source.sha256}
    assert {result.received for result in results.values()} == {len(bench.data)}
    told = [news.received for news in bench.progress if news.node == "n3"]
    assert told == [*range(PIECE, len(bench.data), PIECE), len(bench.data)]


async def test_who_has_the_image_does_not_sleep_for_a_second(bench: PullBench, tmp_path: Path) -> None:
    transport = SmallTransport(tmp_path, "curl")
    sleep = transport.bin / "sleep"
    sleep.unlink()
    sleep.write_text('#!/bin/sh\necho "$1" >>"$OUT/slept"\nexec /bin/sleep "$1"\n')
    sleep.chmod(0o755)
    delivery = Delivery(bench.source, recipients(1), STORE, HEAD, bench.options)
    bench.assert_exact(await HttpPullBroadcast().run(delivery, transport, bench.progress.append), set())
    slept = tmp_path / "slept"
    assert not slept.exists() or set(slept.read_text().split()) == {"0.1"}


async def test_a_connection_that_breaks(bench: PullBench, monkeypatch: pytest.MonkeyPatch) -> None:
    send = ImageServer._send
    broken: list[int] = []
    offsets: list[int] = []

    async def break_twice(self: ImageServer, transport: asyncio.Transport, offset: int) -> int:
        offsets.append(offset)
        if offset >= 2 * PIECE and len(broken) < 2:
            broken.append(offset)
            transport.abort()
        return await send(self, transport, offset)

    monkeypatch.setattr(ImageServer, "_send", break_twice)
    bench.assert_exact(await bench.run(1), set())
    assert len(broken) == 2
    assert offsets.count(0) == 1, "the image was not begun again"


async def test_without_a_declared_digest_the_file_decides(bench: PullBench) -> None:
    bench.declare("")
    bench.assert_exact(await bench.run(1), set())


async def test_an_empty_image(bench: PullBench, tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    bench.source, bench.data = ImageSource(path, 0, hashlib.sha256().hexdigest()), b""
    bench.assert_exact(await bench.run(2), set())


async def test_into_a_path(bench: PullBench, tmp_path: Path) -> None:
    bench.assert_exact(await bench.run(1, str(tmp_path / "n1")), set())


async def test_words_of_a_pipeline_are_words(bench: PullBench) -> None:
    long = ["sh", "-c", 'cat; shift 9; echo "$*" >"$OUT/words"', "sh", *map(str, range(9)), "a  $b", "*'\"`"]
    bench.assert_exact(await bench.run(1, [["cat"], long, *STORE]), set())
    assert (bench.folder / "words").read_text() == "a  $b *'\"`\n"


async def test_a_consumer_that_has_enough(bench: PullBench) -> None:
    results = await bench.run(1, [["head", "-c", "10"]])
    assert results["n1"].ok and results["n1"].sha256 == bench.source.sha256


async def test_a_consumer_that_fails(bench: PullBench) -> None:
    script = 'echo no room for $NODE >&2; [ "$NODE" != n2 ]'
    results = await bench.run(3, [["cat"], ["sh", "-c", f'cat >"$OUT/$NODE"; {script}']])
    bench.assert_exact(results, {"n2"})
    failed = results["n2"]
    assert (failed.trouble, failed.reason) == (Trouble.CONSUMER, "sh exited with status 1")
    assert failed.evidence == "no room for n2"


@pytest.mark.parametrize(
    ("consumer", "reason"),
    [
        ([["missing-program"]], "missing-program exited with status 127"),
        ([["gzip", "-dc"], ["cat"]], "gzip exited with status 1"),
        ([["sh", "-c", "kill -9 $$"]], "sh was killed by signal 9"),
        ("/proc/nowhere", "dd exited with status 1"),
    ],
)
async def test_a_consumer_that_cannot_work(bench: PullBench, consumer: Pipeline | str, reason: str) -> None:
    result = (await bench.run(1, consumer))["n1"]
    assert (result.trouble, result.reason) == (Trouble.CONSUMER, reason)
    assert result.evidence or "killed" in reason


async def test_a_node_whose_shell_is_killed(bench: PullBench) -> None:
    """By the kernel, when there is no memory left; it is the leader of its session."""
    script = 'read -r _ _ _ _ _ session _ </proc/self/stat; kill -9 "$session"; sleep 1000'
    result = (await bench.run(1, [["sh", "-c", script]]))["n1"]
    assert (result.trouble, result.reason) == (Trouble.PEERS, "the download ended")
    assert result.seconds < 20


async def test_nothing_to_fetch_with(bench: PullBench) -> None:
    bench.tools = ()
    result = (await bench.run(1))["n1"]
    assert (result.trouble, result.reason) == (
        Trouble.PEERS,
        "there is neither curl nor wget nor busybox",
    )


async def test_damaged_on_the_way(bench: PullBench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def damage(self: ImageServer, transport: asyncio.Transport, offset: int) -> int:
        transport.write(bytes(len(bench.data) - offset))
        return len(bench.data)

    monkeypatch.setattr(ImageServer, "_send", damage)
    result = (await bench.run(1))["n1"]
    assert result.trouble is Trouble.DATA
    assert result.reason.startswith("received other data: SHA-256 ")


async def test_an_image_with_another_digest_than_declared(bench: PullBench) -> None:
    actual = bench.source.sha256
    bench.declare("0" * 64)
    results = await bench.run(2)
    assert {result.trouble for result in results.values()} == {Trouble.IMAGE}
    assert f"the image's SHA-256 is {actual}" in results["n1"].reason


async def test_an_image_of_another_size_starts_nothing(bench: PullBench) -> None:
    bench.source = replace(bench.source, size=1)
    results = await bench.run(1)
    assert results["n1"].trouble is Trouble.IMAGE
    assert bench.transport.processes == {}


async def test_an_unreachable_node(bench: PullBench, monkeypatch: pytest.MonkeyPatch) -> None:
    make = SmallTransport.__init__

    def without_second(self: SmallTransport, folder: Path, *programs: str) -> None:
        make(self, folder, *programs)
        self.unreachable.add("n2")

    monkeypatch.setattr(SmallTransport, "__init__", without_second)
    results = await bench.run(3)
    bench.assert_exact(results, {"n2"})
    assert results["n2"].trouble is Trouble.NODE


async def test_a_deadline(bench: PullBench) -> None:
    bench.options = replace(bench.options, deadline=1.0)
    results = await bench.run(2, [["sh", "-c", "cat >/dev/null; sleep 1000"]])
    assert [result.reason for result in results.values()] == ["not finished within 1 s"] * 2


async def test_cancelling_leaves_nothing(bench: PullBench, tmp_path: Path) -> None:
    task = asyncio.create_task(
        bench.run(3, [["sh", "-c", 'cat >/dev/null; touch "$OUT/$NODE.full"; sleep 1000']])
    )
    await until(lambda: len(list(tmp_path.glob("*.full"))) == 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not alive(tmp_path))
    assert list(tmp_path.glob("kadeploy-pull.*")) == []


async def test_an_address_that_is_not_ours(bench: PullBench) -> None:
    delivery = Delivery(bench.source, recipients(1), STORE, "192.0.2.1")
    with pytest.raises(ServiceError, match=r"cannot listen on 192\.0\.2\.1"):
        await HttpPullBroadcast().run(delivery, bench.transport, bench.progress.append)


# The server ----------------------------------------------------------------------------------------------


@pytest.fixture
async def server(image: Path) -> ImageServer:
    found = ImageServer(image, image.stat().st_size, lambda node, offset: None, lambda reason: None)
    await found.start(HEAD, ["n1", "n2"])
    return found


async def test_paths_that_lead_nowhere(server: ImageServer, image: Path) -> None:
    own = server.url("n1")
    root = own.rpartition("/")[0]
    beyond = f"{own}/{image.stat().st_size + 1}"
    try:
        async with aiohttp.ClientSession() as session:
            for url in (root, f"{root}/", f"{root}/{'x' * 32}/0", own, f"{own}/-1", f"{own}/x", beyond):
                async with session.get(url) as answer:
                    assert answer.status == 404, url
            async with session.post(f"{own}/0", data=b"x") as answer:
                assert answer.status == 404
            async with session.get(f"{own}/{image.stat().st_size - 5}") as answer:
                assert await answer.read() == image.read_bytes()[-5:]
        assert own != server.url("n2")
    finally:
        await server.stop()


async def test_strangers_cannot_open_connections_without_end(server: ImageServer) -> None:
    host, port = server.url("n1").split("/")[2].split(":")
    opened = []
    try:
        for _ in range(3 * SPARE_CONNECTIONS):
            opened.append(await asyncio.open_connection(host, int(port)))
        await asyncio.sleep(0.2)
        assert (
            sum(reader.at_eof() or reader.exception() is not None for reader, _ in opened)
            >= SPARE_CONNECTIONS
        )
        assert len(server._http.connections) <= 2 * 2 + SPARE_CONNECTIONS
    finally:
        for _, writer in opened:
            writer.close()
        await server.stop()


async def test_who_asks_again_has_given_up_the_first(server: ImageServer) -> None:
    host, port = server.url("n1").split("/")[2].split(":")
    path = server.url("n1").split(port)[1]
    try:
        first, former = await ask(host, port, path)
        second, writer = await ask(host, port, path)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await first.readexactly(IMPOSSIBLE)
        former.close()
        assert await second.readexactly(100)
        writer.close()
    finally:
        await server.stop()


IMPOSSIBLE = 1 << 40


async def ask(host: str, port: str, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(f"GET {path}/0 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert b"200" in await reader.readuntil(b"\r\n")
    return reader, writer
