# SPDX-License-Identifier: Apache-2.0
"""Cohorts that share one chain, over real processes: who gets which result when, and who ends whom."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from kadeploy.broadcast.interface import BroadcastProgress, Delivery, Pipeline, RelayResult
from kadeploy.broadcast.shared import SharedBroadcast
from kadeploy.errors import ServiceError

from .conftest import GATED, Bench
from .local import HEAD, LocalProcess, alive, recipients, until

# A consumer that ends only when its gate is opened.
LINGERING: Pipeline = [
    ["sh", "-c", 'cat > "$OUT/$NODE"; while [ -e "$OUT/$NODE.gate" ]; do sleep 0.05; done']
]

Results = asyncio.Task[Mapping[str, RelayResult]]


class Cohorts:
    """Cohorts of one operation on a bench."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.shared = SharedBroadcast()
        self.progress: dict[str, BroadcastProgress] = {}
        self.ended: dict[str, RelayResult] = {}  # before their cohorts

    def send(self, first: int, last: int, consumer: Pipeline = GATED, address: str = HEAD) -> Results:
        """Begin to send to nodes of these numbers."""
        told: dict[str, BroadcastProgress] = {}
        nodes = recipients(last)[first - 1 :]
        delivery = Delivery(self.bench.source, nodes, consumer, address, self.bench.options)

        def follow(progress: BroadcastProgress) -> None:
            assert progress.node in {recipient.node for recipient in nodes}, "news of another cohort"
            told[progress.node] = self.progress[progress.node] = progress

        async def end(results: Mapping[str, RelayResult]) -> None:
            self.ended.update(results)

        return asyncio.create_task(self.shared.run(delivery, self.bench.transport, follow, end))

    async def has_begun(self, *nodes: str) -> None:
        await until(lambda: all(self.bench.transport.received(node) for node in nodes))

    async def listens(self, node: str) -> None:
        processes = self.bench.transport.processes
        await until(lambda: node in processes and processes[node].port)


@pytest.fixture
def cohorts(bench: Bench) -> Cohorts:
    bench.options = replace(bench.options, deadline=None)
    return Cohorts(bench)


async def test_a_late_cohort_joins_and_the_first_does_not_wait_for_it(cohorts: Cohorts) -> None:
    bench = cohorts.bench
    bench.shut_gates("n1", "n3")
    first = cohorts.send(1, 2)
    await cohorts.has_begun("n1")
    second = cohorts.send(3, 4)
    await cohorts.listens("n4")
    assert bench.transport.received("n3") == 0, "the head feeds the first lane alone"
    (bench.folder / "n1.gate").unlink()
    results = await first
    assert set(results) == {"n1", "n2"} and not second.done()
    bench.assert_exact(results, failed=set())
    bench.open_gates()
    later = await second
    assert set(later) == {"n3", "n4"}
    bench.assert_exact(later, failed=set())
    assert cohorts.progress["n3"].lane == 1
    assert (cohorts.progress["n3"].position, cohorts.progress["n4"].position) == (1, 2)


@pytest.mark.parametrize("cancelled", ["first", "second"])
async def test_one_cohort_is_cancelled_and_the_other_goes_on(cohorts: Cohorts, cancelled: str) -> None:
    bench = cohorts.bench
    bench.shut_gates("n1", "n3")
    tasks = {"first": cohorts.send(1, 2)}
    await cohorts.has_begun("n1")
    tasks["second"] = cohorts.send(3, 4)
    await cohorts.listens("n4")
    ended = tasks.pop(cancelled)
    ended.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ended
    assert len([name for name, process in bench.transport.processes.items() if runs(process)]) == 2
    bench.open_gates()
    (other,) = tasks.values()
    bench.assert_exact(await other, failed=set())


def runs(process: object) -> bool:
    return process.process.returncode is None  # type: ignore[attr-defined]


async def test_when_all_are_cancelled_nothing_is_left(cohorts: Cohorts) -> None:
    cohorts.bench.shut_gates("n1")
    tasks = [cohorts.send(1, 2)]
    await cohorts.has_begun("n1")
    tasks.append(cohorts.send(3, 3))
    await cohorts.listens("n3")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    cohorts.bench.open_gates()
    assert alive(cohorts.bench.folder) == []


async def test_who_is_through_does_not_wait_for_one_that_still_unpacks(cohorts: Cohorts) -> None:
    bench = cohorts.bench
    bench.shut_gates("n2")
    running = cohorts.send(1, 3, LINGERING)
    await until(lambda: set(cohorts.ended) == {"n1", "n3"})
    assert not running.done()
    assert [runs(bench.transport.processes[name]) for name in ("n1", "n2", "n3")] == [False, True, False]
    again = cohorts.send(1, 1, LINGERING)
    await cohorts.listens("n1")
    bench.open_gates()
    for results in await asyncio.gather(running, again):
        bench.assert_exact(results, failed=set())


def slow_to_stop(process: LocalProcess) -> tuple[asyncio.Event, asyncio.Event]:
    """Its first stop waits: an event that tells of it, and one that ends it."""
    asked, may_stop = asyncio.Event(), asyncio.Event()
    stop = process.stop

    async def stop_late() -> str:
        process.stop = stop  # type: ignore[method-assign]
        asked.set()
        await may_stop.wait()
        return await stop()

    process.stop = stop_late  # type: ignore[method-assign]
    return asked, may_stop


async def test_who_is_cancelled_while_its_nodes_leave_leaves_nothing_behind(cohorts: Cohorts) -> None:
    bench = cohorts.bench
    bench.shut_gates("n2", "n4")
    first, second = cohorts.send(1, 3, LINGERING), cohorts.send(4, 4, LINGERING)
    await cohorts.listens("n1")
    asked, _ = slow_to_stop(bench.transport.processes["n1"])
    await asked.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    names = ("n1", "n2", "n3", "n4")
    assert [runs(bench.transport.processes[name]) for name in names] == [False, False, False, True]
    (bench.folder / "n2.gate").unlink()
    again = cohorts.send(1, 3, LINGERING)
    bench.assert_exact(await again, failed=set())
    assert not second.done(), "they have joined the chain that runs"
    bench.open_gates()
    bench.assert_exact(await second, failed=set())


async def test_good_nodes_do_not_wait_until_a_bad_one_is_stopped(cohorts: Cohorts) -> None:
    bench = cohorts.bench
    bench.shut_gates("n3")
    fails = [["sh", "-c", f'[ "$NODE" != n1 ] || {{ cat >/dev/null; exit 3; }}; {LINGERING[0][2]}']]
    running = cohorts.send(1, 3, fails)
    await cohorts.listens("n1")
    asked, may_stop = slow_to_stop(bench.transport.processes["n1"])
    await asked.wait()
    await until(lambda: "n2" in cohorts.ended)
    assert "n1" not in cohorts.ended
    may_stop.set()
    bench.open_gates()
    bench.assert_exact(await running, failed={"n1"})


async def test_a_node_that_failed_joins_again(cohorts: Cohorts) -> None:
    bench = cohorts.bench
    bench.shut_gates("n2")
    bench.transport.unreachable = {"n1"}
    first = cohorts.send(1, 1)
    second = cohorts.send(2, 2)
    bench.assert_exact(await first, failed={"n1"})
    bench.transport.unreachable = set()
    again = cohorts.send(1, 1)
    await cohorts.listens("n1")
    bench.open_gates()
    bench.assert_exact(await second, failed=set())
    bench.assert_exact(await again, failed=set())


async def test_who_wants_something_else_gets_a_chain_of_its_own(cohorts: Cohorts) -> None:
    bench = cohorts.bench
    bench.shut_gates("n1")
    first = cohorts.send(1, 1)
    await cohorts.has_begun("n1")
    bench.options = replace(bench.options, window=2 << 20)
    bench.assert_exact(await cohorts.send(2, 2), failed=set())
    bench.open_gates()
    bench.assert_exact(await first, failed=set())


async def test_what_ends_the_chain_ends_it_for_all(cohorts: Cohorts) -> None:
    """192.0.2.0/24 is set aside for documentation (RFC 5737)."""
    with pytest.raises(ServiceError, match="cannot listen"):
        await cohorts.send(1, 1, address="192.0.2.1")
    cohorts.bench.assert_exact(await cohorts.send(1, 1), failed=set())


async def test_a_file_that_is_not_the_image(cohorts: Cohorts) -> None:
    cohorts.bench.source = replace(cohorts.bench.source, size=7)
    results = await cohorts.send(1, 2)
    assert {"bytes, not 7" in result.reason for result in results.values()} == {True}


async def test_a_relay_that_ends_slowly_holds_up_its_own_node_only(
    cohorts: Cohorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, may_end = LocalProcess.stop, asyncio.Event()

    async def slow(process: LocalProcess) -> str:
        if process is cohorts.bench.transport.processes["n2"]:
            await may_end.wait()
        return await stop(process)

    monkeypatch.setattr(LocalProcess, "stop", slow)
    sending = cohorts.send(1, 4)
    try:
        await until(lambda: len(cohorts.ended) == 3)
        assert set(cohorts.ended) == {"n1", "n3", "n4"} and not sending.done()
    finally:
        may_end.set()
    cohorts.bench.assert_exact(await sending, failed=set())
    assert "n2" in cohorts.ended
