# SPDX-License-Identifier: Apache-2.0
"""Who is in the middle, or has the secret: no byte of his gets to a consumer, and his link is named."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kadeploy.broadcast.chain import ChainSession, broadcast
from kadeploy.broadcast.interface import Delivery, RelayResult, Trouble
from kadeploy.broadcast.seal_cache import SealCache
from kadeploy.broadcast.sealer import SECTION

from .conftest import GATED, STORE, Bench
from .local import HEAD, LocalProcess, LocalTransport, recipients, until
from .meddling import EVIL, Meddling, Stream
from .test_chain import Spoiling

pytestmark = pytest.mark.slow

# Seals whatever it sends, as a node may that has the secret; what it has verified is something else.
SEALS_ITS_OWN = (
    "sock.sendall(piece)",
    'sock.sendall((b"EVIL" * len(piece))[: len(piece)])',
)
FALSE_SEALS = (
    "FRAME.pack(SEAL, boundary) + ring.seals[boundary]",
    "FRAME.pack(SEAL, boundary) + bytes(len(ring.seals[boundary]))",
)
# Is alive, and sends nothing.
ONLY_PINGS = ("if self._source.transmit(connection.sock, interval):", "if time.sleep(interval):")


async def run(
    bench: Bench, count: int, cache: SealCache | None = None, consumer: Any = STORE
) -> Mapping[str, RelayResult]:
    delivery = Delivery(bench.source, recipients(count), consumer, HEAD, bench.options, cache)
    return await broadcast(delivery, bench.transport, bench.progress.append, lambda _: None)


def assert_no_evil(bench: Bench) -> None:
    """What consumers have taken is a part of the image."""
    for node in bench.folder.glob("n?"):
        taken = node.read_bytes()
        assert EVIL * 4 not in taken
        assert bench.data.startswith(taken)


@pytest.fixture
def cache(bench: Bench, tmp_path: Path) -> SealCache:
    return SealCache(tmp_path / "seals")


@pytest.fixture
async def known(bench: Bench, cache: SealCache) -> SealCache:
    """A cache that has the seals of the image, as it was broadcast before."""
    assert (await run(bench, 1, cache))["n1"].ok
    return cache


def sent(transport: LocalTransport) -> dict[str, list[Any]]:
    """The settings and orders of each relay."""
    return {node: process.told for node, process in transport.processes.items()}


async def test_roots_come_from_the_head_ahead_of_the_data(bench: Bench) -> None:
    """In sections, to each node, as long as the seals are not known."""
    bench.assert_exact(await run(bench, 3), failed=set())
    sections = -(-bench.source.size // (16 * bench.options.chunk))
    for settings, *orders in sent(bench.transport).values():
        roots = settings["roots"] + [root for kind, *rest in orders if kind == "roots" for root in rest[0]]
        assert (settings["section"], len(roots)) == (16, sections)


async def test_image_that_was_sent_before_has_one_root(bench: Bench, known: SealCache) -> None:
    bench.assert_exact(await run(bench, 3, known), failed=set())
    for settings, *orders in sent(bench.transport).values():
        assert len(settings["roots"]) == 1
        assert not any(kind == "roots" for kind, *_ in orders)


async def test_seals_of_what_is_not_declared_are_not_kept(bench: Bench, cache: SealCache) -> None:
    bench.declare("")
    bench.assert_exact(await run(bench, 1, cache), failed=set())
    bench.declare("0" * 64)
    assert not (await run(bench, 1, cache))["n1"].ok
    assert not cache.directory.exists()


async def test_known_image_that_was_changed_is_not_sent(
    bench: Bench, known: SealCache, tmp_path: Path
) -> None:
    """Not a byte of the chunk that is another."""
    changed = tmp_path / "changed"
    changed.write_bytes(bench.data[: 20 << 20] + EVIL * 4 + bench.data[(20 << 20) + 16 :])
    bench.source = replace(bench.source, path=changed)
    results = await run(bench, 2, known)
    assert {result.reason for result in results.values()} == {"the image was changed after it was checked"}
    assert {result.trouble for result in results.values()} == {Trouble.IMAGE}
    assert_no_evil(bench)


@pytest.mark.parametrize("is_known", [False, True])
async def test_machine_in_the_middle_of_two_nodes(bench: Bench, cache: SealCache, is_known: bool) -> None:
    """It takes over a connection after the handshake, and sends an image of its own with seals of its own."""
    if is_known:
        assert (await run(bench, 1, cache))["n1"].ok
    size, chunk = bench.source.size, bench.options.chunk
    section = -(-size // chunk) if is_known else SECTION
    transport = bench.transport = Meddling(bench.folder, {"n2": {1}}, Stream(size, chunk, section))
    results = await run(bench, 3, cache)
    transport.close()
    assert transport.middles["n2"].replaced
    assert_no_evil(bench)
    bench.assert_exact(results, failed={"n1"})
    assert results["n1"].reason == "passed on damaged data: n2 received damaged data from n1 after byte 0"


async def test_machine_in_the_middle_of_a_node_and_all_others(bench: Bench) -> None:
    """Its node cannot get the image, and has no byte that is not of it."""
    stream = Stream(bench.source.size, bench.options.chunk, SECTION)
    transport = bench.transport = Meddling(bench.folder, {"n2": None}, stream)
    results = await run(bench, 3)
    transport.close()
    assert_no_evil(bench)
    bench.assert_exact(results, failed={"n2"})
    assert results["n2"].reason == "finds damaged what the head sends, and what n1 sent before"


@pytest.mark.parametrize("words", [SEALS_ITS_OWN, FALSE_SEALS], ids=["evil data", "false seals"])
async def test_node_that_has_the_secret(bench: Bench, words: tuple[str, str]) -> None:
    bench.transport = Spoiling(bench.folder, {"n2": words})
    results = await run(bench, 4)
    assert_no_evil(bench)
    bench.assert_exact(results, failed={"n2"})
    assert re.fullmatch(
        r"passed on damaged data: n[134] received damaged data from n2 after byte \d+", results["n2"].reason
    )


async def test_node_that_pings_and_sends_nothing(bench: Bench) -> None:
    """The nodes behind it are served by others, within the patience and some seconds."""
    bench.options = replace(bench.options, silence=1.0, patience=2.0)
    bench.transport = Spoiling(bench.folder, {"n2": ONLY_PINGS})
    bench.assert_exact(await run(bench, 4), failed=set())


async def test_late_node_has_the_roots_as_well(bench: Bench) -> None:
    """Those that were made before it came are in its settings."""
    bench.shut_gates("n1", "n2")
    sessions, everybody = list[ChainSession](), recipients(3)
    delivery = Delivery(bench.source, everybody[:2], GATED, HEAD, bench.options)
    running = asyncio.create_task(
        broadcast(delivery, bench.transport, bench.progress.append, sessions.append)
    )
    await until(lambda: bench.transport.received("n2"))
    await asyncio.sleep(0.5)
    assert sessions[0].join(everybody[2:])
    await until(lambda: "n3" in bench.transport.processes and bench.transport.processes["n3"].port)
    assert bench.transport.processes["n3"].told[0]["roots"]
    bench.open_gates()
    bench.assert_exact(await running, failed=set())


class Withheld(LocalTransport):
    """The roots for some node are held back, as by an ssh connection that stalls."""

    def __init__(self, folder: Path, node: str) -> None:
        super().__init__(folder)
        self.opened = asyncio.Event()
        self.withheld = 0
        self._node = node

    def adopt(self, node: str, process: asyncio.subprocess.Process) -> LocalProcess:
        adopted = LocalProcess(process)
        write = adopted.write

        async def write_late(data: bytes) -> None:
            if data.startswith(b'["roots"'):
                self.withheld += 1
                await self.opened.wait()
            await write(data)

        if node == self._node:
            adopted.write = write_late  # type: ignore[method-assign]
        return adopted


async def test_nothing_is_consumed_before_its_root_has_come(bench: Bench) -> None:
    transport = Withheld(bench.folder, "n2")
    bench.transport = transport
    running = asyncio.create_task(run(bench, 3))
    await until(lambda: transport.withheld and transport.received("n1"))
    await asyncio.sleep(1)
    given = len(json.dumps(transport.processes["n2"].told[0]["roots"])) // 68
    assert transport.received("n2") <= given * 16 * bench.options.chunk
    assert transport.received("n3") <= transport.received("n2")
    transport.opened.set()
    bench.assert_exact(await running, failed=set())
