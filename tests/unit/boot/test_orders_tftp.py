# SPDX-License-Identifier: Apache-2.0
"""Profiles by orders over TFTP: packet by packet, from addresses of loopback."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from kadeploy.boot.answers import FETCHES
from kadeploy.config.clusters import Node
from kadeploy.config.server import Network
from tests.unit.boot.ordering import ADDRESS, PATH, STRANGER, TEXT, OrderingSite, has_no_secret, secret_of
from tests.unit.boot.service import STORE, configure, running, tftp_children

DATA, ERROR, OPTIONS = b"\0\3", b"\0\5", b"\0\6"


@pytest.fixture
def site(tmp_path: Path, network: Network) -> Iterator[OrderingSite]:
    with running(configure(tmp_path, network, "tftp")):
        yield OrderingSite(tmp_path, network.ports)


class Machine:
    """Machine that asks by TFTP."""

    def __init__(self, site: OrderingSite, address: str = ADDRESS) -> None:
        self._server = ("127.0.0.1", site.ports.tftp)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        self._peer: tuple[str, int] = self._server

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, name: str = PATH, *, wait: float = 5, options: dict[str, str] | None = None) -> bytes:
        """Ask for a file; its first packet, empty where none comes in time."""
        words = "".join(f"{key}\0{value}\0" for key, value in (options or {}).items())
        self._socket.settimeout(wait)
        self._socket.sendto(f"\0\1{name}\0octet\0{words}".encode(), self._server)
        return self.receive()

    def receive(self) -> bytes:
        try:
            packet, self._peer = self._socket.recvfrom(70_000)
        except TimeoutError:
            return b""
        return packet

    def confirm(self, block: int) -> None:
        self._socket.sendto(b"\0\4" + block.to_bytes(2, "big"), self._peer)

    def fetch(self, name: str = PATH, **options: str) -> bytes:
        """Fetch a file whole."""
        content, packet, block = b"", self.ask(name, options=options), 0
        size = int(options.get("blksize", 512))
        if packet[:2] == OPTIONS:
            self.confirm(0)
            packet = self.receive()
        while packet[:2] == DATA:
            content += packet[4:]
            block += 1
            self.confirm(block)
            if len(packet) < 4 + size:
                break
            packet = self.receive()
        return content


def test_the_last_complete_fetch_of_the_node_proves(site: OrderingSite) -> None:
    order = site.place()
    secrets = []
    for _ in range(2):  # from another port each: what comes from one while its session ends is dropped
        with Machine(site) as machine:
            secrets.append(secret_of(machine.fetch()))
    first, second = secrets
    found = site.until(2)
    assert (first != second, found.secret) == (True, second)
    assert [(one.client, one.protocol) for one in found.fetches] == [(ADDRESS, "tftp")] * 2
    assert not site.accept(order, first) and site.accept(order, second)
    with Machine(site) as machine:
        assert has_no_secret(proven := machine.fetch()) and b"kernel http" in proven
    assert site.until(3).secret == "", "it counts, and has no secret"


@pytest.mark.parametrize("name", [f"/{PATH}", f"//{PATH}".replace("/1", "//1"), f"{PATH}/"])
def test_names_of_a_profile(site: OrderingSite, name: str) -> None:
    site.place()
    with Machine(site) as machine:
        secret = secret_of(machine.fetch(name))
    assert site.until(1).secret == secret


@pytest.mark.parametrize("blksize", ["8", "512", "1468", "9000", "60000"])
def test_blocks(site: OrderingSite, blksize: str) -> None:
    site.place()
    with Machine(site) as machine:
        secret = secret_of(machine.fetch(blksize=blksize, tsize="0"))
    assert site.until(1).secret == secret


@pytest.mark.parametrize("blksize", ["65465", "100000", "-5", "huge"])
def test_blocks_that_are_none_do_no_harm(site: OrderingSite, blksize: str) -> None:
    site.place()
    with Machine(site) as machine:
        machine.ask(options={"blksize": blksize}, wait=0.5)
        site.stays_unfetched(0)
    with Machine(site) as machine:
        secret = secret_of(machine.fetch())
    assert site.until(1).secret == secret


def test_from_elsewhere_there_is_no_secret_and_no_disk(site: OrderingSite) -> None:
    site.place()
    with Machine(site, STRANGER) as machine:
        answer = machine.fetch()
    assert b"echo Refused: " in answer and answer.endswith(b"reboot\n") and has_no_secret(answer)
    site.stays_unfetched(0)
    assert [(one.path, one.status) for one in site.requests(STRANGER)] == [(f"/{PATH}", 403)]


def test_where_profiles_come_by_http_there_is_no_secret_by_tftp(tmp_path: Path, network: Network) -> None:
    """A request in the name of a node neither gets a secret nor voids that of its boot."""
    with running(configure(tmp_path, network)):
        site = OrderingSite(tmp_path, network.ports)
        order = site.place()
        secret = secret_of(site.get())
        site.until(1)
        with Machine(site) as machine:
            answer = machine.fetch()
        assert b"echo Refused: " in answer and answer.endswith(b"reboot\n") and has_no_secret(answer)
        assert site.stays_unfetched(1).secret == secret
        assert site.accept(order, secret)
        site.place(secret=False)
        with Machine(site) as machine:
            assert b"sanboot" in machine.fetch()


def test_a_node_that_fetches_again_and_again_silences_nobody_else(site: OrderingSite) -> None:
    site.place()
    other = Node("n-2", "127.0.0.12", "", "c")
    site.with_orders(
        lambda orders: orders.place(other, f"profiles/{other.address}", TEXT, secret_wanted=True)
    )
    for _ in range(FETCHES):
        with Machine(site) as looping:
            secret_of(looping.fetch())
    with Machine(site) as looping, Machine(site, other.address) as machine:
        assert looping.ask(wait=0.3) == b""
        secret_of(machine.fetch(f"profiles/{other.address}"))


def test_what_is_not_confirmed_does_not_count(site: OrderingSite) -> None:
    site.place()
    with Machine(site) as machine:
        assert machine.ask()[:2] == DATA
    site.stays_unfetched(0)
    with Machine(site) as machine:
        assert machine.ask(options={"tsize": "0"})[:2] == OPTIONS  # it only asked for the size
        site.stays_unfetched(0)


def test_somebody_else_confirms_nothing(site: OrderingSite) -> None:
    site.place()
    with Machine(site) as machine, Machine(site, STRANGER) as stranger:
        packet = machine.ask(options={"blksize": "60000"})
        stranger._peer = machine._peer
        assert packet[:2] == OPTIONS
        machine.confirm(0)
        assert machine.receive()[:2] == DATA
        stranger.confirm(1)
        site.stays_unfetched(0)
        machine.confirm(1)
        site.until(1)


def test_while_the_store_is_away_there_is_silence(site: OrderingSite) -> None:
    """No error and no `default`, behind which a machine would boot its disk; files are served as ever."""
    site.place()
    (site.directory / "boot" / "profiles" / "default").write_text("disk\n")
    with closing(sqlite3.connect(site.directory / STORE, isolation_level=None)) as other:
        other.execute("begin immediate")
        with Machine(site) as machine:
            assert machine.ask(wait=1) == b""
            assert machine.fetch("boot.ipxe").startswith(b"#!ipxe")
            assert machine.ask("profiles/default", wait=0.3) == b""
        other.execute("rollback")
    time.sleep(1.5)
    with Machine(site) as machine:
        secret = secret_of(machine.fetch())
    assert site.until(1).secret == secret


def test_health_of_a_tftp_server_whose_places_are_taken(tmp_path: Path, network: Network) -> None:
    """Busy is not dead; machines are to ask again."""
    with running(configure(tmp_path, network), "prlimit", "--nofile=80:80"), ExitStack() as stack:
        site = OrderingSite(tmp_path, network.ports)
        for number in range(1, 30):
            machine = stack.enter_context(Machine(site, f"127.0.2.{number}"))
            if machine.ask("boot.ipxe", wait=0.5, options={"blksize": "8"}) == b"":
                break
        else:
            pytest.fail("there is room for all")
        time.sleep(1.1)
        assert b" 200 " in site.get("/healthz")[:20]


def test_health_tells_of_a_tftp_server_that_hangs(site: OrderingSite) -> None:
    assert b" 200 " in site.get("/healthz")[:20]
    (child,) = tftp_children(site.ports.tftp)
    os.kill(child, signal.SIGSTOP)
    time.sleep(1.1)
    try:
        answer = site.get("/healthz")
    finally:
        os.kill(child, signal.SIGCONT)
    assert b" 503 " in answer[:20] and b"TFTP does not answer" in answer
    time.sleep(1.1)
    assert b" 200 " in site.get("/healthz")[:20]
    assert site.requests("127.0.0.1") == []
