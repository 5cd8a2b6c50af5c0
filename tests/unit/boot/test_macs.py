# SPDX-License-Identifier: Apache-2.0
"""The MAC of a machine that asks: who has another one than the node gets no secret."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from kadeploy.boot.answers import FETCHES, OK, REFUSED, AskAgainError, ProfileAnswer, ProfileAnswers, plain
from kadeploy.boot.neighbours import mac_of
from kadeploy.boot.order_store import OrderStore
from kadeploy.boot.repository import BootRepository
from kadeploy.config.clusters import Node
from kadeploy.config.server import Network, NetworkBoot
from kadeploy.errors import ServiceError
from kadeploy.store.boot_orders import BootOrder, BootOrders
from tests.unit.boot.ordering import PATH, TEXT, has_no_secret

MAC, OTHER = "52:54:00:1f:00:0b", "52:54:00:1f:00:ff"
ADDRESS = "172.31.0.11"


class Link:
    """The link of the server: which MAC has an address now."""

    mac = ""
    error: ServiceError | None = None

    async def __call__(self, address: str) -> str:
        if self.error:
            raise self.error
        return self.mac


class Desk:
    """Answers with the store behind them."""

    def __init__(self, answers: ProfileAnswers, store: OrderStore, link: Link) -> None:
        self.answers = answers
        self.store = store
        self.link = link

    async def place(self, mac: str) -> None:
        node = Node("n-1", ADDRESS, "", "c", mac=mac)
        await (await self.store.orders()).place(node, PATH, TEXT, secret_wanted=True)

    async def ask(self, client: str = ADDRESS) -> ProfileAnswer:
        answer = await self.answers.find(PATH, client, "http")
        assert answer is not None
        return answer

    async def read(self) -> BootOrder:
        found = await (await self.store.orders()).read("n-1")
        assert found is not None
        return found


@pytest.fixture
async def desk(tmp_path: Path, network: Network) -> AsyncIterator[Desk]:
    root = tmp_path / "boot"
    root.mkdir()
    boot = {"repository": root, "export": {"kind": "tftp"}}
    repository = BootRepository(root, NetworkBoot.model_validate(boot), network)
    link = Link()
    async with OrderStore(tmp_path / "store.sqlite") as store:
        answers = ProfileAnswers(repository, store, link)
        writing = asyncio.create_task(answers.write_counts())
        yield Desk(answers, store, link)
        writing.cancel()


@pytest.mark.parametrize(
    ("known", "seen", "status"),
    [
        (MAC, MAC, OK),
        (MAC, OTHER, REFUSED),
        (MAC, "", OK),  # behind a router nobody knows it
        ("", OTHER, OK),  # the site does not tell it
        ("", "", OK),
    ],
)
async def test_a_mac_is_compared_where_both_are_known(desk: Desk, known: str, seen: str, status: int) -> None:
    await desk.place(known)
    desk.link.mac = seen
    answer = await desk.ask()
    assert answer.status == status and has_no_secret(answer.content) == (status == REFUSED)
    desk.answers.sent(answer)
    await desk.answers.written()
    order = await desk.read()
    assert [fetch.mac for fetch in order.fetches] == ([seen] if status == OK else [])


@pytest.mark.parametrize(
    ("known", "before", "after", "counts"),
    [
        ("", MAC, MAC, True),
        ("", MAC, OTHER, False),
        ("", MAC, "", True),  # the kernel has forgotten it meanwhile
        ("", "", MAC, True),  # nothing was sent to it before
        (MAC, "", MAC, True),
        (MAC, "", OTHER, False),
        (MAC, MAC, OTHER, False),
    ],
)
async def test_a_machine_that_takes_the_address_meanwhile_proves_nothing(
    desk: Desk, known: str, before: str, after: str, counts: bool
) -> None:
    await desk.place(known)
    desk.link.mac = before
    answer = await desk.ask()
    desk.link.mac = after
    desk.answers.sent(answer)
    await desk.answers.written()
    order = await desk.read()
    assert (bool(order.secret), order.fetched) == (counts, int(counts))


async def test_a_fetch_counts_though_the_kernel_does_not_tell_its_mac(desk: Desk) -> None:
    await desk.place("")
    desk.link.mac = MAC
    answer = await desk.ask()
    desk.link.error = ServiceError("no")
    desk.answers.sent(answer)
    await desk.answers.written()
    assert (await desk.read()).fetched == 1


async def test_the_mac_is_looked_up_at_once_though_the_store_is_locked(desk: Desk, tmp_path: Path) -> None:
    """What becomes of the address while others are written says nothing about this fetch."""
    await desk.place("")
    desk.link.mac = MAC
    answers = [await desk.ask() for _ in range(2)]
    with closing(sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)) as other:
        other.execute("begin immediate")
        for answer in answers:
            desk.answers.sent(answer)
        await asyncio.sleep(0.2)
        desk.link.mac = OTHER
        other.execute("rollback")
    await desk.answers.written()
    assert (await desk.read()).fetched == 2


@pytest.mark.parametrize("kind", ["replaced", "mac"])
async def test_what_concerns_one_client_is_told_from_a_store_that_is_away(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async def none(*_: object, **__: object) -> int:
        return 0

    await desk.place("")
    if kind == "mac":
        desk.link.error = ServiceError("the kernel does not tell")
    else:
        monkeypatch.setattr(BootOrders, "begin_fetch", none)
    with pytest.raises(AskAgainError):
        await desk.ask()


async def test_who_asks_by_tftp_in_the_name_of_a_node_keeps_nothing_from_it(desk: Desk) -> None:
    """A sender's address can be written into any packet; whoever connects must have it."""
    await desk.place("")
    for _ in range(FETCHES):
        await desk.answers.find(PATH, ADDRESS, "tftp")
    with pytest.raises(AskAgainError, match="was fetched"):
        await desk.answers.find(PATH, ADDRESS, "tftp")
    assert (await desk.ask()).status == OK


@pytest.mark.parametrize("client", [ADDRESS, f"::ffff:{ADDRESS}", "::ffff:ac1f:b"])
async def test_an_address_in_any_spelling(desk: Desk, client: str) -> None:
    await desk.place("")
    assert (await desk.ask(client)).status == OK


@pytest.mark.parametrize(
    "client", ["172.31.0.1", "", "172.31.0.110", "::1", "::ac1f:b", "64:ff9b::ac1f:b", "x"]
)
async def test_another_address(desk: Desk, client: str) -> None:
    await desk.place("")
    answer = await desk.ask(client)
    assert answer.status == REFUSED and has_no_secret(answer.content)


def test_plain_addresses() -> None:
    assert plain("fe80::1%eth0") == plain("FE80:0::1") == "fe80::1"


async def test_a_machine_on_no_link_has_no_mac() -> None:
    assert [await mac_of(address) for address in ("127.0.0.1", "127.9.9.9", "::1")] == ["", "", ""]
    assert await mac_of("no address") == ""
