# SPDX-License-Identifier: Apache-2.0
"""Profiles by orders over HTTP: who gets a secret, which fetch counts, and what a stranger tries."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from kadeploy.boot.answers import FETCHES
from kadeploy.config.server import Network
from kadeploy.store.boot_orders import OrderState
from tests.unit.boot.ordering import (
    ADDRESS,
    NODE,
    PATH,
    STRANGER,
    OrderingSite,
    has_no_secret,
    secret_of,
)
from tests.unit.boot.service import STORE, configure, running

REFUSED = b"echo Refused: "


@pytest.fixture
def site(tmp_path: Path, network: Network) -> Iterator[OrderingSite]:
    with running(configure(tmp_path, network)):
        yield OrderingSite(tmp_path, network.ports)


def test_the_last_complete_fetch_of_the_node_proves(site: OrderingSite) -> None:
    order = site.place()
    first = secret_of(site.get())
    assert site.until(1).secret == first
    second = secret_of(site.get())
    assert second != first and site.until(2).secret == second
    found = site.read()
    assert [(one.client, one.protocol, one.mac) for one in found.fetches] == [(ADDRESS, "http", "")] * 2
    assert abs(found.fetches[0].at - time.time()) < 5
    assert not site.accept(order, first) and site.accept(order, second)
    assert found.number == site.read().number == order.number


def test_a_proven_order_is_answered_without_a_secret(site: OrderingSite) -> None:
    order = site.place()
    assert site.accept(order, secret_of(site.get())) or site.until(1)
    secret = site.read().secret
    assert site.read().state is OrderState.PROVEN or site.accept(order, secret)
    answer = site.get()
    assert b"kernel http://h/k initrd=initrd.img BOOTIF=" in answer and has_no_secret(answer)
    found = site.until(2)  # the machine that has proven it would not fetch again: this one counts
    assert (found.state, found.secret) == (OrderState.PROVEN, "")


def test_from_elsewhere_there_is_no_secret_and_no_disk(site: OrderingSite) -> None:
    site.place()
    answer = site.get(client=STRANGER)
    assert answer.startswith(b"HTTP/1.1 200 OK") and REFUSED in answer and has_no_secret(answer)
    assert answer.endswith(b"\nsleep 30\nreboot\n") and b"sanboot" not in answer
    assert site.stays_unfetched(0).secret == ""
    assert [(one.path, one.status) for one in site.requests(STRANGER)] == [(f"/{PATH}", 403)]
    assert site.requests(ADDRESS) == []


def test_an_order_without_a_secret_is_for_everybody(site: OrderingSite) -> None:
    site.place(secret=False)
    for client in (ADDRESS, STRANGER):
        assert b"sanboot" in site.get(client=client)
    assert site.stays_unfetched(0).fetches == ()


def test_a_file_is_served_where_no_order_says_anything(site: OrderingSite) -> None:
    (site.directory / "boot" / PATH).write_text("#!ipxe\nexit\n")
    assert site.get().endswith(b"#!ipxe\nexit\n")
    site.place()
    assert secret_of(site.get())
    site.with_orders(lambda orders: orders.remove(NODE))
    assert site.get().endswith(b"#!ipxe\nexit\n")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("//profiles//127.0.0.11", 200),
        ("/profiles/127.0.0.11/", 200),
        ("/profiles/127.0.0.11?again", 200),
        ("/profiles/127%2e0.0.11", 200),
        ("/%70rofiles/127.0.0.11", 200),
        ("/profiles/alias", 200),
        ("/profiles/127.0.0.11%00", 404),
        ("/profiles/../profiles/127.0.0.11", 404),
        ("/profiles/%2e/127.0.0.11", 404),
        ("/PROFILES/127.0.0.11", 404),
        ("/profiles", 404),
        ("/profiles/127.0.0.1", 404),
        ("/profiles/127.0.0.111", 404),
        ("/profiles/127.0.0.11/x", 404),
        ("/profiles/%", 404),
        ("/profiles/_", 404),
    ],
)
def test_names_of_a_profile(site: OrderingSite, path: str, status: int) -> None:
    """However it is named, a stranger gets nothing, and the node at most one secret, which counts."""
    stale = site.directory / "boot" / PATH
    stale.write_text("#!ipxe\nstale\n")
    (site.directory / "boot" / "profiles" / "alias").symlink_to("127.0.0.11")
    site.place()
    answer = site.get(path, STRANGER)
    assert has_no_secret(answer) and b"stale" not in answer
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()) or (status == 404 and b" 400 " in answer[:20])
    answer = site.get(path)
    if status == 200:
        assert site.until(1).secret == secret_of(answer)
    else:
        assert has_no_secret(answer) and b"stale" not in answer
        site.stays_unfetched(0)


def test_head_counts_for_nothing(site: OrderingSite) -> None:
    site.place()
    head = site.get(method="HEAD")
    assert head.startswith(b"HTTP/1.1 200 OK") and has_no_secret(head)
    site.stays_unfetched(0)
    answer = site.get()
    body = answer.partition(b"\r\n\r\n")[2]
    assert f"Content-Length: {len(body)}\r\n".encode() in head
    assert site.until(1).secret == secret_of(answer)


@pytest.mark.parametrize("wanted", ["bytes=0-9", "bytes=-5", "bytes=5-", "bytes=100000-", "bytes=0-0,2-3"])
def test_a_range_is_answered_whole(site: OrderingSite, wanted: str) -> None:
    site.place()
    answer = site.get(more=f"Range: {wanted}\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK") and answer.endswith(b"\nreboot\n")
    assert site.until(1).secret == secret_of(answer)


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_the_end_of_the_answer_is_the_end_of_the_connection(site: OrderingSite, version: str) -> None:
    site.place()
    answer = site.ask(f"GET /{PATH} {version}\r\nHost: h\r\n\r\n")
    assert site.until(1).secret == secret_of(answer)


def test_of_requests_in_one_packet_the_first_is_answered(site: OrderingSite) -> None:
    site.place()
    one = f"GET /{PATH} HTTP/1.1\r\nHost: h\r\n\r\n"
    with site.connect() as connection:
        connection.sendall((one * 5).encode())
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except ConnectionResetError:
            pass  # by the requests that nobody has read
    assert answer.count(b"HTTP/1.1") == 1
    assert site.until(1).secret == secret_of(answer)
    site.stays_unfetched(1)


@pytest.mark.parametrize("most", [0, 10, 200])
def test_an_answer_that_is_broken_off_does_not_count(site: OrderingSite, most: int) -> None:
    site.place()
    request = f"GET /{PATH} HTTP/1.1\r\nHost: h\r\n\r\n"
    with site.connect() as connection:
        connection.sendall(request.encode())
        if most:
            assert len(connection.recv(most)) == most
    assert site.stays_unfetched(0).secret == ""
    assert {one.status for one in site.requests(ADDRESS)} == {499}


def test_a_machine_that_resets_does_not_count(site: OrderingSite) -> None:
    site.place()
    with site.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(f"GET /{PATH} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert site.stays_unfetched(0).secret == ""


def test_a_thousand_fetches_at_once(site: OrderingSite) -> None:
    """Each secret is another one, the last complete one is the order's, and the store does not grow."""
    order = site.place()
    answers: list[bytes] = []

    def fetch() -> None:
        for _ in range(25):
            with suppress(OSError):  # too many connections of one client
                answers.append(site.get())

    threads = [threading.Thread(target=fetch) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [secret_of(answer) for answer in answers if b" 200 OK" in answer[:20]]
    busy = [answer for answer in answers if b" 503 " in answer[:20]]
    assert len(set(found)) == len(found) and len(found) + len(busy) == len(answers)
    assert all(b"\r\nRetry-After: 2\r\n" in answer and has_no_secret(answer) for answer in busy)
    assert FETCHES <= len(found) < 100
    state = site.until(len(found))
    assert [secret for secret in found if site.accept(order, secret)] == [state.secret]
    with closing(sqlite3.connect(site.directory / STORE)) as store:
        assert store.execute("select count(*) from boot_fetches").fetchone()[0] <= 33


def test_a_store_that_is_locked(site: OrderingSite) -> None:
    """Machines are told to come again; what was sent before is counted when the store is back."""
    site.place()
    with closing(sqlite3.connect(site.directory / STORE, isolation_level=None)) as other:
        other.execute("begin immediate")
        answer = site.get()
        assert answer.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 2\r\n" in answer
        assert b" 503 " in site.get("/healthz")[:20] and b"the store cannot be written" in site.get(
            "/healthz"
        )
        other.execute("rollback")
    answer = site.get()
    assert site.until(1).secret == secret_of(answer)
    assert [one.status for one in site.requests(ADDRESS) if one.path != "/healthz"] == [503, 200]


def test_a_store_that_is_gone_and_comes_back_as_another_file(site: OrderingSite) -> None:
    site.place()
    store = site.directory / STORE
    with closing(sqlite3.connect(store)) as other:
        other.execute("pragma wal_checkpoint(truncate)")
        content = store.read_bytes()
    for name in (STORE, f"{STORE}-wal", f"{STORE}-shm"):
        (site.directory / name).unlink(missing_ok=True)
    assert site.get().startswith(b"HTTP/1.1 503 ") and not store.exists()
    store.write_bytes(content)
    answer = site.get()
    assert site.until(1).secret == secret_of(answer)


def test_files_need_no_store(site: OrderingSite) -> None:
    for name in (STORE, f"{STORE}-wal", f"{STORE}-shm"):
        (site.directory / name).unlink(missing_ok=True)
    (site.directory / "boot" / "kernels" / "k").write_text("kernel")
    assert site.get("/kernels/k").endswith(b"kernel")
    assert site.get("/boot.ipxe").startswith(b"HTTP/1.1 200 ")
    assert site.get("/profiles/nobody").startswith(b"HTTP/1.1 503 ")


def test_a_server_that_is_killed_in_the_middle(tmp_path: Path, network: Network) -> None:
    """What was begun and never counted proves nothing; the next server goes on with the order."""
    site = OrderingSite(tmp_path, network.ports)
    with running(configure(tmp_path, network)) as process:
        order = site.place()
        with site.connect() as connection:
            # A machine that takes the answer, and whose end the server does not live to see.
            connection.sendall(f"GET /{PATH} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            answer = connection.recv(65536)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    lost = secret_of(answer)
    with running(configure(tmp_path, network)):
        assert site.read().fetched == 0 and not site.accept(order, lost)
        secret = secret_of(site.get())
        assert site.until(1).secret == secret and not site.accept(order, lost)
        assert site.accept(order, secret)


def test_nothing_tells_secrets_or_other_nodes(site: OrderingSite) -> None:
    site.place()
    secret = secret_of(site.get())
    site.until(1)
    kept = [path for path in site.directory.rglob("*") if path.is_file() and STORE not in path.name]
    assert kept and not [path for path in kept if secret.encode() in path.read_bytes()]
    for path in ("/profiles", "/profiles/", "/", "/requests", "/../requests/127.0.0.11", f"/{STORE}"):
        assert NODE.encode() not in site.get(path) and ADDRESS.encode() not in site.get(path)


def test_the_secret_is_not_on_a_command_line(site: OrderingSite) -> None:
    site.place()
    secret = secret_of(site.get())
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert secret.encode() not in entry.read_bytes()
        except OSError:
            continue
