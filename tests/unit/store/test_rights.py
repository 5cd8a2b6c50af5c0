# SPDX-License-Identifier: Apache-2.0
"""Rights in the store: what covers what, what is in the way, and what is over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from kadeploy.errors import RefusedError
from kadeploy.store import rights
from kadeploy.store.rights import ANY, Area, Right
from kadeploy.store.store import Store
from tests.unit.store.conftest import make_old_store

SDA3, SDA5 = ("/dev/sda3",), ("/dev/sda5",)
N1, N2 = ("n-1",), ("n-2",)
EXEMPT = ("root", "deploy")


class Table:
    """The table, at a time that the test sets."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    async def add(
        self,
        user: str,
        nodes: Sequence[str] = (ANY,),
        devices: Sequence[str] = (ANY,),
        until: float | None = None,
        *,
        overwrite: bool = False,
    ) -> bool:
        area = Area(nodes, devices)
        return await rights.add(
            self.store, user, area, until, overwrite=overwrite, exempt=EXEMPT, now=self.time
        )

    async def withdraw(
        self, user: str, nodes: Sequence[str] = (ANY,), devices: Sequence[str] = (ANY,)
    ) -> list[Right]:
        return await rights.withdraw(self.store, user, Area(nodes, devices), now=self.time)

    async def of(self, user: str) -> list[tuple[str, str, float | None]]:
        found = await rights.find(self.store, user, now=self.time)
        assert sorted(found, key=str) == sorted(
            await rights.of_user(self.store, user, now=self.time), key=str
        )
        return [(right.node, right.device, right.until) for right in found]

    async def over(self) -> list[Right]:
        return await rights.over(self.store, now=self.time)


@pytest.fixture
def table(store: Store) -> Table:
    return Table(store)


async def test_a_store_of_before_gets_the_table(tmp_path: Path) -> None:
    make_old_store(tmp_path / "old.sqlite", "0008")
    async with Store.open(tmp_path / "old.sqlite") as opened:
        assert await Table(opened).add("alice", N1)


async def test_each_node_has_each_device(table: Table) -> None:
    assert await table.add("alice", ("n-10", "n-2"), (*SDA3, *SDA5), 2000)
    assert await table.of("alice") == [
        (node, device, 2000) for node in ("n-2", "n-10") for device in (*SDA3, *SDA5)
    ]
    assert not await table.add("alice", ("n-10", "n-2"), SDA3, 2000)


@pytest.mark.parametrize(
    ("nodes", "devices"), [((ANY,), (ANY,)), ((ANY,), SDA3), (N1, (ANY,))], ids=("all", "nodes", "devices")
)
async def test_broader_rights_replace_narrower_ones(
    table: Table, nodes: Sequence[str], devices: Sequence[str]
) -> None:
    await table.add("alice", N1, SDA3)
    assert await table.add("alice", nodes, devices)
    assert await table.of("alice") == [(*nodes, *devices, None)]
    assert not await table.add("alice", N1, SDA3)
    assert await table.over() == []


async def test_a_narrower_right_that_lasts_longer_stays(table: Table) -> None:
    await table.add("alice", N1, SDA3)
    assert await table.add("alice", N1, until=2000)
    assert await table.of("alice") == [("n-1", ANY, 2000), ("n-1", *SDA3, None)]
    assert not await table.add("alice", N1, SDA5, 1500)
    assert await table.add("alice", N1, SDA5, 2500)


async def test_the_same_right_gets_the_new_end(table: Table) -> None:
    await table.add("alice", N1, until=2000)
    for until in (None, 1500.0, 3000.0):
        assert await table.add("alice", N1, until=until)
        assert not await table.add("alice", N1, until=until)
        assert await table.of("alice") == [("n-1", ANY, until)]


async def test_others_are_in_the_way(table: Table) -> None:
    await table.add("alice", ("n-1", "n-2", "n-3"), SDA3)
    with pytest.raises(RefusedError, match=r"others have rights on n-\[2-3\] \(alice\)"):
        await table.add("bob", ("n-2", "n-3", "n-4"), SDA5)
    assert await table.of("bob") == []
    assert await table.add("bob", N2, overwrite=True)
    assert await table.of("alice") == [("n-1", *SDA3, None), ("n-3", *SDA3, None)]
    assert [(right.user, right.key) for right in await table.over()] == [("alice", ("n-2", *SDA3))]


@pytest.mark.parametrize("overwrite", [False, True])
async def test_who_has_all_nodes_has_no_exception(table: Table, overwrite: bool) -> None:
    await table.add("alice", (ANY,), SDA3)
    with pytest.raises(
        RefusedError, match="alice has a right on /dev/sda3 of all nodes, which can have no"
    ) as told:
        await table.add("bob", N1, overwrite=overwrite)
    assert told.value.hint == "`delete_rights` of alice on all nodes first"
    with pytest.raises(RefusedError, match=r"others have rights on all nodes \(alice\)"):
        await table.add("bob")
    assert await table.add("bob", overwrite=True)
    assert await table.of("alice") == []


async def test_almighty_users_are_in_nobodys_way_and_nobody_in_theirs(table: Table) -> None:
    assert await table.add("alice", N1)
    assert await table.add("root")
    assert await table.add("deploy", overwrite=True)
    assert await table.add("bob", N2, overwrite=True)
    assert {user: await table.of(user) for user in ("alice", "root", "deploy", "bob")} == {
        "alice": [("n-1", ANY, None)],
        "root": [(ANY, ANY, None)],
        "deploy": [(ANY, ANY, None)],
        "bob": [("n-2", ANY, None)],
    }


@pytest.mark.parametrize(
    ("nodes", "devices"), [((ANY,), (ANY,)), (("n-1", "n-2"), (ANY,)), ((ANY,), SDA3), (("n-1", "n-2"), SDA3)]
)
async def test_rights_are_withdrawn(table: Table, nodes: Sequence[str], devices: Sequence[str]) -> None:
    await table.add("alice", N1, SDA3)
    await table.add("bob", N2, SDA3)
    assert [right.key for right in await table.withdraw("alice", nodes, devices)] == [("n-1", *SDA3)]
    assert await table.of("alice") == []
    assert await table.of("bob") == [("n-2", *SDA3, None)]
    assert await table.withdraw("alice", nodes, devices) == []


@pytest.mark.parametrize(
    ("given", "nodes", "devices", "told"),
    [
        (((ANY,), (ANY,)), N1, (ANY,), "all nodes"),
        (((ANY,), SDA3), N1, SDA3, "/dev/sda3 of all nodes"),
        ((N1, (ANY,)), N1, SDA3, "n-1"),
        ((N1, (ANY,)), (ANY,), SDA3, "n-1"),
    ],
)
async def test_no_exception_is_cut_out_of_a_right(
    table: Table,
    given: tuple[Sequence[str], Sequence[str]],
    nodes: Sequence[str],
    devices: Sequence[str],
    told: str,
) -> None:
    await table.add("alice", *given)
    await table.add("alice", N2, SDA5)
    before = await table.of("alice")
    with pytest.raises(RefusedError, match=f"alice has a right on {told}, which can have no exception"):
        await table.withdraw("alice", nodes, devices)
    assert await table.of("alice") == before


async def test_a_right_ends_by_the_clock(table: Table) -> None:
    await table.add("alice", N1, until=2000)
    await table.add("alice", N2)
    table.now = 1999.9
    assert len(await table.of("alice")) == 2
    table.now = 2000
    assert await table.of("alice") == [("n-2", ANY, None)]
    assert await table.add("bob", N1), "a right that is over is in nobody's way"
    assert await table.withdraw("alice", N1) == []
    [lost] = await table.over()
    assert lost.user == "alice"
    await rights.forget(table.store, [lost])
    assert await table.over() == []


async def test_what_is_withdrawn_stays_so_whatever_the_clock_does(table: Table) -> None:
    await table.add("alice", N1)
    await table.withdraw("alice")
    table.now = 0
    assert await table.of("alice") == []


async def test_a_right_that_was_given_again_is_not_forgotten(table: Table) -> None:
    await table.add("alice", N1)
    await table.withdraw("alice")
    lost = await table.over()
    table.now += 1
    assert await table.add("alice", N1)
    await rights.forget(table.store, lost)
    assert await table.of("alice") == [("n-1", ANY, None)]
    await table.withdraw("alice")
    await rights.forget(table.store, lost)
    assert len(await table.over()) == 1, "what was begun by it meanwhile is still to be ended"


async def test_a_whole_site_is_given_at_once(table: Table) -> None:
    names = [f"n-{number}" for number in range(20_000)]
    assert await table.add("alice", names, SDA3)
    assert await table.add("alice", names)
    assert len(await table.of("alice")) == 20_000
    assert len(await table.withdraw("alice", names)) == 20_000
