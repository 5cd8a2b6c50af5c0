# SPDX-License-Identifier: Apache-2.0
"""Orders to boot: which secret proves, which fetch counts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest
from sqlalchemy import func, select

from kadeploy.config.clusters import Node
from kadeploy.store import boot_orders
from kadeploy.store.boot_orders import KEPT_FETCHES, BootOrder, BootOrders, OrderState
from kadeploy.store.store import Store
from kadeploy.store.tables import boot_fetches

NODE = Node("node-1", "172.31.0.11", "", "lab", mac="52:54:00:1f:00:0b")
PATH = "profiles/172.31.0.11"
CLIENT = {"client": "172.31.0.11", "protocol": "http", "mac": NODE.mac}


@pytest.fixture
def orders(store: Store) -> BootOrders:
    return BootOrders(store)


async def place(orders: BootOrders, *, text: str = "text") -> BootOrder:
    return await orders.place(NODE, PATH, text, secret_wanted=True)


async def fetch(orders: BootOrders, order: BootOrder, secret: str) -> None:
    await orders.complete_fetch(await orders.begin_fetch(order.number, secret, **CLIENT))


async def test_an_order_is_found_by_path_and_by_node(orders: BootOrders) -> None:
    assert await orders.read("node-1") is None and await orders.find(PATH) is None
    order = await place(orders)
    assert (order.node, order.address, order.mac, order.path) == ("node-1", NODE.address, NODE.mac, PATH)
    assert (order.secret, order.fetches, order.state) == ("", (), OrderState.OPEN)
    assert await orders.read("node-1") == await orders.find(PATH) == order


async def test_of_nodes_with_one_profile_each_gets_its_own(orders: BootOrders) -> None:
    other = replace(NODE, name="node-1.other", address="172.31.0.12")
    for node in (NODE, other):
        await orders.place(node, PATH, node.name, secret_wanted=False)
    for node in (NODE, other):
        found = await orders.find(PATH, node.address)
        assert found is not None and found.node == node.name


async def test_a_node_that_was_renamed_has_one_order(orders: BootOrders) -> None:
    await place(orders)
    await orders.place(replace(NODE, name="renamed"), PATH, "new", secret_wanted=False)
    await orders.remove("renamed")
    assert await orders.find(PATH, NODE.address) is None and await orders.read("node-1") is None


async def test_only_the_last_complete_secret_proves_and_only_once(orders: BootOrders) -> None:
    order = await place(orders)
    assert not await orders.accept(order.number, "")
    begun = await orders.begin_fetch(order.number, "begun", **CLIENT)
    assert not await orders.accept(order.number, "begun")
    for secret in ("first", "last"):
        await fetch(orders, order, secret)
    assert not await orders.accept(order.number, "first")
    assert not await orders.accept(order.number + 1, "last")
    assert await orders.accept(order.number, "last")
    assert not await orders.accept(order.number, "last")
    await orders.complete_fetch(begun)  # an answer that ended late counts, and proves nothing
    assert not await orders.accept(order.number, "begun") and not await orders.accept(order.number, "")
    found = await orders.read("node-1")
    assert found is not None
    assert (found.state, found.secret, len(found.fetches), found.fetched) == (OrderState.PROVEN, "", 3, 3)
    await fetch(orders, order, "more")
    assert not await orders.accept(order.number, "more"), "a proven order has no secret any more"
    found = await orders.read("node-1")
    assert found is not None and (found.secret, found.fetched) == ("", 4), "but the fetch counts"


async def test_of_two_that_prove_one_is_accepted(orders: BootOrders) -> None:
    order = await place(orders)
    await fetch(orders, order, "secret")
    accepted = await asyncio.gather(*(orders.accept(order.number, "secret") for _ in range(5)))
    assert sorted(accepted) == [False] * 4 + [True]


async def test_fetches_are_in_the_order_of_their_ends_whatever_the_clock_says(
    orders: BootOrders, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await place(orders)
    late = await orders.begin_fetch(order.number, "late", **{**CLIENT, "protocol": "tftp"})
    clock = iter([2000.0, 1000.0])
    monkeypatch.setattr(boot_orders, "time", SimpleNamespace(time=lambda: next(clock)))
    await fetch(orders, order, "first")
    await orders.complete_fetch(late)
    found = await orders.read("node-1")
    assert found is not None and found.secret == "late"
    assert [(one.protocol, one.at) for one in found.fetches] == [("http", 2000.0), ("tftp", 1000.0)]


async def test_a_fetch_is_counted_once(orders: BootOrders) -> None:
    order = await place(orders)
    begun = await orders.begin_fetch(order.number, "secret", **CLIENT)
    for _ in range(2):
        await orders.complete_fetch(begun)
    found = await orders.read("node-1")
    assert found is not None and (found.fetched, len(found.fetches)) == (1, 1)


async def test_a_new_order_voids_the_one_before(orders: BootOrders) -> None:
    before = await place(orders)
    begun = await orders.begin_fetch(before.number, "begun", **CLIENT)
    await fetch(orders, before, "old")
    order = await place(orders, text="new")
    assert order.number > before.number
    await orders.complete_fetch(begun)
    assert await orders.begin_fetch(before.number, "late", **CLIENT) == 0
    assert not await orders.accept(before.number, "old") and not await orders.accept(order.number, "old")
    assert await orders.read("node-1") == order


async def test_numbers_are_never_given_again(orders: BootOrders) -> None:
    order = await place(orders)
    begun = await orders.begin_fetch(order.number, "a", **CLIENT)
    await orders.remove("node-1")
    assert await orders.read("node-1") is None
    again = await place(orders)
    assert again.number > order.number
    assert await orders.begin_fetch(again.number, "b", **CLIENT) > begun


async def test_fetches_of_a_machine_in_a_boot_loop_are_bounded(orders: BootOrders, store: Store) -> None:
    order = await place(orders)
    for number in range(3 * KEPT_FETCHES):
        await orders.begin_fetch(order.number, f"begun {number}", **CLIENT)
        await fetch(orders, order, f"secret {number}")
    found = await orders.read("node-1")
    assert found is not None and found.fetched == 3 * KEPT_FETCHES
    assert KEPT_FETCHES <= len(found.fetches) <= KEPT_FETCHES + 1
    rows = await store.read(lambda connection: connection.scalar(select(func.count(boot_fetches.c.id))))
    assert rows is not None and rows <= 2 * KEPT_FETCHES + 1
    assert await orders.accept(order.number, f"secret {3 * KEPT_FETCHES - 1}")
