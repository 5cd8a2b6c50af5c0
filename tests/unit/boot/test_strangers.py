# SPDX-License-Identifier: Apache-2.0
"""What strangers can take of the boot server: a share, whatever they do, and never the nodes'."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from kadeploy.boot.request_log import MAX_OTHERS, STRANGERS
from kadeploy.boot.requests import OTHERS
from kadeploy.config.server import Network
from tests.unit.boot.ordering import ADDRESS, PATH, OrderingSite, secret_of
from tests.unit.boot.service import configure, running
from tests.unit.boot.test_orders_tftp import DATA, Machine

pytestmark = pytest.mark.slow

KERNEL = 20_000_000  # bytes: more than the kernel holds for a client that does not read
FROM_MANY = [f"127.0.{net}.{host}" for net in range(20, 30) for host in range(1, 6)]
FROM_ONE_PREFIX = [f"127.0.20.{host}" for host in range(1, 40)]


@pytest.fixture
def site(tmp_path: Path, network: Network) -> Iterator[OrderingSite]:
    """A site whose node is to boot."""
    configure(tmp_path, network, "tftp")
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / "vmlinuz").write_bytes(bytes(KERNEL))
    with running(tmp_path):
        found = OrderingSite(tmp_path, network.ports)
        found.place()
        time.sleep(1.3)  # the server looks for orders once a second
        yield found


def hold_http(stack: ExitStack, site: OrderingSite, clients: list[str], each: int) -> None:
    """Begin to fetch the kernel, as often from each address, and take nothing of it."""
    for client in clients:
        for _ in range(each):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.bind((client, 0))
            connection.connect(("127.0.0.1", site.ports.http))
            connection.sendall(b"GET /vmlinuz HTTP/1.1\r\nHost: h\r\n\r\n")


@pytest.mark.parametrize(("clients", "each"), [(FROM_MANY, 12), (FROM_ONE_PREFIX, 14), (FROM_MANY[:12], 60)])
def test_slow_readers_leave_places_to_a_node_that_is_to_boot(
    site: OrderingSite, clients: list[str], each: int
) -> None:
    with ExitStack() as stack:
        hold_http(stack, site, clients, each)
        time.sleep(0.5)
        secret_of(site.get())
        answer = site.get("/vmlinuz")
        assert b" 200 " in answer[:20] and len(answer) > KERNEL


@pytest.mark.parametrize("clients", [FROM_MANY, FROM_ONE_PREFIX], ids=["many prefixes", "one prefix"])
def test_strangers_by_tftp_leave_places_to_a_node_that_is_to_boot(
    site: OrderingSite, clients: list[str]
) -> None:
    with ExitStack() as stack:
        for client in clients * 12:
            machine = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            machine.bind((client, 0))
            machine.sendto(b"\0\1vmlinuz\0octet\0", ("127.0.0.1", site.ports.tftp))
            time.sleep(0.0005)
        machines = [stack.enter_context(Machine(site)) for _ in range(2)]
        secret_of(machines[0].fetch())
        assert machines[1].ask("vmlinuz", wait=2)[:2] == DATA


def test_requests_in_the_name_of_a_node_take_no_places_from_it(site: OrderingSite) -> None:
    """Whoever sends them never sees what the node gets for them, and confirms nothing."""
    with ExitStack() as stack:
        for _ in range(40):
            other = stack.enter_context(Machine(site))
            assert other.ask("vmlinuz", wait=1, options={"blksize": "8"}) != b""
        secret_of(stack.enter_context(Machine(site)).fetch())


def test_a_flood_of_requests_by_tftp(site: OrderingSite) -> None:
    """It costs strangers' allowance; who has an order is answered, once the kernel had room for its request.

    Firmware asks again as well (docs/administrators/boot.md).
    """
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with stranger, Machine(site) as machine:
        stranger.bind(("127.0.21.1", 0))
        for number in range(2000):
            stranger.sendto(f"\0\1{PATH}{number % 7}\0octet\0".encode(), ("127.0.0.1", site.ports.tftp))
            if number % 100 == 0:
                time.sleep(0.005)
        answers = (machine.fetch() for _ in range(4))
        secret_of(next(filter(None, answers)))


def test_garbage_brings_few_lines_of_the_server(tmp_path: Path, network: Network) -> None:
    configure(tmp_path, network)
    with running(tmp_path) as process:
        site = OrderingSite(tmp_path, network.ports)
        for number in range(120):
            for garbage in (b"GET /\x1b[31mred HTTP/1.1\r\nA\0: b", b"GET / HTTP/9.9", b"\xff\0" * 50):
                with site.connect(f"127.0.{20 + number % 10}.1") as client, suppress(ConnectionError):
                    client.sendall(garbage + b"\r\n\r\n")
                    client.recv(1000)
        process.terminate()
        assert process.stdout is not None
        said = process.stdout.read()
    assert "Traceback" not in said and "\x1b" not in said
    assert len(said.splitlines()) <= 20, said


def test_connections_of_strangers_leave_one_to_who_asks_whether_the_server_lives(site: OrderingSite) -> None:
    with ExitStack() as stack:
        for number in range(2600):
            client = stack.enter_context(socket.socket())
            client.bind((f"127.0.{20 + number % 50}.1", 0))
            client.connect(("127.0.0.1", site.ports.http))
        assert b" 200 " in site.get("/healthz", "127.0.0.1")[:20]
        secret_of(site.get())


def test_many_addresses_write_a_bounded_log(site: OrderingSite) -> None:
    """One machine with as many addresses as it likes: each of them is a client."""
    secret_of(site.get())
    began = time.monotonic()
    for number in range(500):
        client = f"127.0.{30 + number % 50}.{number // 50 + 1}"
        assert b" 404 " in site.get(f"/nothing-{number}", client)[:20]
    others = site.directory / "requests" / OTHERS
    time.sleep(0.3)
    lines = sum(len(path.read_text().splitlines()) for path in others.iterdir())
    assert lines <= STRANGERS.burst + (time.monotonic() - began + 1) * STRANGERS.per_second
    assert len(list(others.iterdir())) <= MAX_OTHERS
    node = site.requests(ADDRESS)
    assert [one.path for one in node] == [f"/{PATH}"]
