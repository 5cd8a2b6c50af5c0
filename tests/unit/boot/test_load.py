# SPDX-License-Identifier: Apache-2.0
"""Many machines at once, and clients that are no good: real ones on loopback, as patient as firmware is."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from kadeploy.boot import admission, http
from kadeploy.boot.requests import BootFileRequest
from kadeploy.config.server import Network
from tests.unit.boot.service import configure, running, serve_content, tftp_children

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).resolve().parents[3]
FILES = {"vmlinuz": 300_000, "initrd": 3_000_000}
STALL, IDLE = 1.0, 0.5  # seconds
AT_ONCE, FLOOD = 400, 600
IMAGE = 50_000_000


def addresses(count: int) -> list[str]:
    return [f"127.0.1.{number}" for number in range(1, count + 1)]


@pytest.fixture
def repository(tmp_path: Path, network: Network) -> Path:
    folder = configure(tmp_path, network) / "boot"
    folder.mkdir()
    for name, size in FILES.items():
        (folder / name).write_bytes(os.urandom(size))
    return folder


def machines(
    protocol: str, network: Network, repository: Path, clients: list[str], names: list[str]
) -> list[dict[str, Any]]:
    """What became of machines that fetched these files, as iPXE does."""
    orders = {
        "host": "127.0.0.1",
        "port": network.ports.http if protocol == "http" else network.ports.tftp,
        "addresses": clients,
        "folder": str(repository),
        "files": names,
        "firmware": "ipxe",
    }
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.boot_storm.{protocol}_client"],
        cwd=CHECKOUT,
        input=json.dumps(orders),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["machines"]
    assert len(found) == len(clients)
    return found


def errors(outcomes: list[dict[str, Any]]) -> list[str]:
    return [one["error"] for one in outcomes if one["error"]]


def test_fifty_machines_at_once(tmp_path: Path, network: Network, repository: Path) -> None:
    with running(tmp_path):
        by_tftp = machines("tftp", network, repository, addresses(50), ["vmlinuz"])
        by_http = machines("http", network, repository, addresses(50), list(FILES))
    assert errors(by_tftp) + errors(by_http) == []
    assert {one["bytes"] for one in by_tftp} == {FILES["vmlinuz"]}
    assert {one["bytes"] for one in by_http} == {sum(FILES.values())}


def test_more_machines_than_files_may_be_open_at_first(
    tmp_path: Path, network: Network, repository: Path
) -> None:
    with running(tmp_path, "prlimit", "--nofile=96:4096"):
        outcomes = machines("http", network, repository, addresses(90), list(FILES))
    assert errors(outcomes) == []


def test_tftp_without_enough_files(tmp_path: Path, network: Network, repository: Path) -> None:
    with running(tmp_path, "prlimit", "--nofile=80:80"):
        children = tftp_children(network.ports.tftp)
        outcomes = machines("tftp", network, repository, addresses(30), ["vmlinuz"])
        assert tftp_children(network.ports.tftp) == children
    assert errors(outcomes) == []
    assert sum(one["repeated"] for one in outcomes) > 0  # some had to ask again


def test_machines_that_ask_by_tftp_in_the_same_moment(
    tmp_path: Path, network: Network, repository: Path
) -> None:
    """The server is busy meanwhile; the kernel keeps 277 requests by default."""
    if os.geteuid() and int(Path("/proc/sys/net/core/rmem_max").read_text()) < 500_000:
        pytest.skip("this machine has no larger buffers for us")
    with running(tmp_path), ExitStack() as stack:
        (child,) = tftp_children(network.ports.tftp)
        os.kill(child, signal.SIGSTOP)
        clients = [
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(AT_ONCE)
        ]
        for client, address in zip(clients, addresses(200) * 2, strict=True):
            client.bind((address, 0))
            client.settimeout(3)
            client.sendto(b"\0\1vmlinuz\0octet\0", ("127.0.0.1", network.ports.tftp))
        os.kill(child, signal.SIGCONT)
        assert all(client.recv(1000)[:4] == b"\0\3\0\1" for client in clients)


def test_tftp_flood_of_one_client(tmp_path: Path, network: Network, repository: Path) -> None:
    """One that asks again and again, and takes nothing, leaves room for others."""
    with running(tmp_path), ExitStack() as stack:
        for _ in range(FLOOD):
            client = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            client.bind(("127.0.2.1", 0))
            client.sendto(b"\0\1vmlinuz\0octet\0", ("127.0.0.1", network.ports.tftp))
            time.sleep(0.001)
        (child,) = tftp_children(network.ports.tftp)
        assert open_files(child) < 100
        outcomes = machines("tftp", network, repository, addresses(5), ["vmlinuz"])
    assert errors(outcomes) == []
    assert max(one["seconds"] for one in outcomes) < 5  # nobody waited until the others were given up


def test_http_flood_of_one_client(tmp_path: Path, network: Network, repository: Path) -> None:
    with running(tmp_path) as service, ExitStack() as stack:
        for _ in range(FLOOD):
            client = stack.enter_context(socket.socket())
            client.bind(("127.0.2.1", 0))
            client.connect(("127.0.0.1", network.ports.http))
        outcomes = machines("http", network, repository, addresses(5), ["vmlinuz"])
        assert open_files(service.pid) < 100
        service.kill()
        assert service.stdout is not None and service.stdout.read() == ""
    assert errors(outcomes) == []


def open_files(process: int) -> int:
    return sum(1 for _ in Path(f"/proc/{process}/fd").iterdir())


async def test_a_client_that_stops_reading_is_given_up(network: Network, repository: Path) -> None:
    (repository / "image").write_bytes(bytes(IMAGE))
    async with asyncio.timeout(10):
        logged = await afterwards(network, repository, b"GET /image HTTP/1.1\r\nHost: x\r\n\r\n")
    assert [one.status for one in logged] == [499]
    assert 0 < logged[0].bytes < 8_000_000  # more the kernel does not hold for it
    assert STALL <= logged[0].seconds < 3 * STALL


async def test_a_machine_that_finds_no_place_is_told_to_come_again(
    network: Network, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MAX_TRANSFERS", 1)
    monkeypatch.setattr(http, "QUEUE_TIME", 0.2)
    (repository / "image").write_bytes(bytes(IMAGE))
    port = network.ports.http
    async with (
        serve_content(repository, network, forget) as served,
        http.serving("127.0.0.1", port, served, stall=STALL),
    ):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /image HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(0.1)
            head = await asyncio.to_thread(head_of, port, "/vmlinuz")
        assert head.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 2\r\n" in head
        arguments = ("http", network, repository, addresses(5), ["vmlinuz"])
        assert errors(await asyncio.to_thread(machines, *arguments)) == []


async def forget(_: BootFileRequest) -> None:
    pass


def head_of(port: int, path: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return client.recv(10_000)


@pytest.mark.parametrize("sent", [b"", b"GET /image HTTP/1.1\r\n"])
async def test_a_client_that_does_not_ask_is_given_up(
    network: Network, repository: Path, sent: bytes
) -> None:
    async with asyncio.timeout(5):
        assert await afterwards(network, repository, sent) == []


async def afterwards(network: Network, repository: Path, sent: bytes) -> list[BootFileRequest]:
    """Send this, read nothing until the server has no connection any more; what it recorded."""
    logged: list[BootFileRequest] = []

    async def record(request: BootFileRequest) -> None:
        logged.append(request)

    port = network.ports.http
    async with (
        serve_content(repository, network, record) as served,
        http.serving("127.0.0.1", port, served, stall=STALL, idle=IDLE),
    ):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(sent)
            await asyncio.sleep(IDLE / 2)
            assert established(port)
            while established(port):
                await asyncio.sleep(0.05)
    return logged


def established(port: int) -> bool:
    """Whether the server of this port has an open connection (man 5 proc: state 01, own port first)."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "01" for line in lines)
