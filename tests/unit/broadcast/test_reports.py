# SPDX-License-Identifier: Apache-2.0
"""What a node reports is no more than a claim: nonsense is its own failure, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from kadeploy.broadcast.interface import RelayResult

from .conftest import GATED, Bench
from .local import until

TAKE_IN = "import sys; b = sys.stdin.buffer; b.read(int(b.readline())); b.readline(); "


async def begun(bench: Bench) -> asyncio.Task[Mapping[str, RelayResult]]:
    """Broadcast to n1 and n2, neither of which has a result before the gates are opened.

    With a gate of n2 alone n1 would have one if n2 came so late that it was passed over. Either may be.
    """
    bench.shut_gates("n1", "n2")
    broadcast = asyncio.create_task(bench.run(2, GATED))
    await until(lambda: bench.transport.received("n1") or bench.transport.received("n2"))
    return broadcast


@pytest.mark.parametrize(
    "report",
    [
        {"kind": "progress", "bytes": -1},
        {"kind": "progress", "bytes": 1 << 70, "consumed": 1 << 60},
        {"kind": "progress", "bytes": float("inf")},
        {"kind": "progress", "bytes": []},
        {"kind": "progress", "bytes": 0, "fed": 1, "lane": "first"},
        {"kind": "done", "bytes": 1, "consumed": 2},
        {"kind": "failed"},
        {"kind": "skipped", "node": "n2", "reason": "silent"},
        {"kind": "slow", "lane": 0, "node": "nobody", "reason": "slow"},
        {"kind": "damaged", "lane": 0, "rank": 0, "offset": 1 << 60},
        {"kind": "damaged", "lane": 0, "rank": 0, "offset": -1},
    ],
    ids=str,
)
async def test_nonsense(bench: Bench, report: Mapping[str, object]) -> None:
    broadcast = await begun(bench)
    bench.transport.say("n1", report)
    bench.open_gates()
    results = await broadcast
    bench.assert_exact(results, failed={"n1"})
    assert results["n1"].reason == "the relay reported nonsense"


@pytest.mark.parametrize(
    "report",
    [
        {"kind": "damaged", "lane": -7, "rank": 1, "offset": 0},
        {"kind": "damaged", "lane": 0, "rank": 99, "offset": 0},
        {"kind": "damaged", "lane": 9, "rank": 1, "offset": 0},
        {"kind": "slow", "lane": 3, "node": "n2", "reason": "slow"},
        {"kind": "unheard of"},
    ],
    ids=str,
)
async def test_claims_about_what_there_is_not(bench: Bench, report: Mapping[str, object]) -> None:
    broadcast = await begun(bench)
    bench.transport.say("n1", report)
    bench.open_gates()
    bench.assert_exact(await broadcast, failed=set())


@pytest.mark.parametrize("said", ["", ', "port": 0', ', "port": 65536', ', "port": "22"', ', "port": null'])
async def test_port_that_is_none(bench: Bench, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    program = TAKE_IN + f"""print('{{"kind": "listening"{said}}}')"""
    monkeypatch.setattr("kadeploy.broadcast.relay_handle.ARGUMENTS", ("python3", "-c", program))
    results = await bench.run(1)
    assert results["n1"].reason == "the relay reported nonsense"


async def test_lines_that_are_no_events(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a login shell prints, or what is nested beyond all measure, is evidence at most."""
    program = TAKE_IN + 'print("Welcome"); print("[" * 50000)'
    monkeypatch.setattr("kadeploy.broadcast.relay_handle.ARGUMENTS", ("python3", "-c", program))
    results = await bench.run(1)
    assert results["n1"].reason == "the relay ended"
    assert results["n1"].evidence.startswith("Welcome\n[[[")
