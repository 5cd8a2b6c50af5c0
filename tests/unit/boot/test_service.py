# SPDX-License-Identifier: Apache-2.0
"""kadeploy-boot as a process, with real HTTP and TFTP on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import tftpy

from kadeploy.boot.requests import BootFileRequest, requests_of
from kadeploy.boot.tftp_process import TftpProcess
from kadeploy.config.server import Network, Ports
from tests.unit.boot.service import CODE, configure, running, serve_content, tftp_children, wait_until_gone

BIG = 24_000_000
NONSENSE = (
    b"",
    b"A",
    b"\0\1",
    b"\0\1\xff\xfe\0octet\0",
    b"\0\1x\0octet\0blksize\0huge\0",
    b"\0\1boot.ipxe\0octet\0blksize\0-5\0",
    b"\0\1" + b"x" * 9000,
    b"\0\4\0\1",
    b"\0\7xx",
)


class Site:
    """A running service and its clients."""

    def __init__(self, directory: Path, ports: Ports) -> None:
        self.repository = directory / "boot"
        self.ports = ports
        self.started = datetime.now(UTC) - timedelta(seconds=1)

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports.http, timeout=20)
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        try:
            return response.status, response.read()
        finally:
            connection.close()

    def tftp_get(self, path: str, destination: Path, blksize: int = 1408) -> None:
        client = tftpy.TftpClient("127.0.0.1", self.ports.tftp, options={"blksize": blksize, "tsize": 0})
        client.download(path, str(destination), timeout=3)

    def requests(self, count: int) -> list[BootFileRequest]:
        """What was logged, once that many are."""
        deadline = time.monotonic() + 5
        while len(found := requests_of(self.repository, "127.0.0.1", self.started)) < count:
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found


@pytest.fixture(scope="module")
def content() -> bytes:
    return os.urandom(BIG)


@pytest.fixture
def site(tmp_path: Path, network: Network, content: bytes) -> Iterator[Site]:
    with running(configure(tmp_path, network)):
        (tmp_path / "boot" / "images" / "big").write_bytes(content)
        (tmp_path / "secret").write_text("secret\n")
        yield Site(tmp_path, network.ports)


def test_http(site: Site, content: bytes) -> None:
    assert site.get("/healthz") == (200, b"ok\n")
    status, script = site.get("/boot.ipxe")
    assert (status, script[:6]) == (200, b"#!ipxe")
    status, body = site.get("/images/big")
    assert (status, hashlib.sha256(body).digest()) == (200, hashlib.sha256(content).digest())
    assert site.get("/images/big", Range="bytes=1000-1999") == (206, content[1000:2000])
    assert site.get("/images/big", Range=f"bytes={BIG - 5}-") == (206, content[-5:])
    assert site.get("/images/big", Range=f"bytes={BIG}-")[0] == 416
    assert site.get("/images/big", method="HEAD") == (200, b"")
    assert site.get("/images/nothing", method="HEAD")[0] == 404
    logged = [(one.protocol, one.method, one.path, one.status, one.bytes) for one in site.requests(7)]
    assert logged == [
        ("http", "GET", "/boot.ipxe", 200, len(script)),
        ("http", "GET", "/images/big", 200, BIG),
        ("http", "GET", "/images/big", 206, 1000),
        ("http", "GET", "/images/big", 206, 5),
        ("http", "GET", "/images/big", 416, 0),
        ("http", "HEAD", "/images/big", 200, 0),
        ("http", "HEAD", "/images/nothing", 404, 0),
    ]


@pytest.mark.parametrize(
    "path",
    ["/", "/images", "/images/", "/nothing", "/../secret", "/%2e%2e/secret", "/images/..%2f..%2fsecret",
     "//etc/passwd", "/link", "/.hidden", "/images/big%00"],
)  # fmt: skip
def test_http_serves_the_repository_only(site: Site, path: str) -> None:
    (site.repository / "link").symlink_to("../secret")
    (site.repository / ".hidden").touch()
    status, body = site.get(path)
    assert status in (400, 404)
    assert b"secret" not in body


def test_http_takes_no_upload(site: Site) -> None:
    assert site.get("/images/new", method="PUT")[0] == 405
    assert not (site.repository / "images" / "new").exists()


def test_client_that_goes_away_is_logged_as_such(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.ports.http)) as connection:
        connection.sendall(b"GET /images/big HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(1000)
    (logged,) = site.requests(1)
    assert logged.status == 499
    assert 0 < logged.bytes < BIG


def test_tftp(site: Site, tmp_path: Path, content: bytes) -> None:
    small = content[:1_000_000]
    (site.repository / "images" / "small").write_bytes(small)
    site.tftp_get("images/small", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == small
    site.tftp_get("/boot.ipxe", tmp_path / "script", blksize=512)
    assert (tmp_path / "script").read_bytes() == (site.repository / "boot.ipxe").read_bytes()
    logged = [(one.protocol, one.path, one.status, one.bytes) for one in site.requests(2)]
    assert logged[0] == ("tftp", "/images/small", 200, len(small))
    assert logged[1][:3] == ("tftp", "/boot.ipxe", 200)


@pytest.mark.parametrize(
    "path", ["nothing", "images", "../secret", "images/../../secret", "link", "/etc/passwd"]
)
def test_tftp_serves_the_repository_only(site: Site, tmp_path: Path, path: str) -> None:
    (site.repository / "link").symlink_to("../secret")
    with pytest.raises(tftpy.TftpException):
        site.tftp_get(path, tmp_path / "got")
    assert site.requests(1)[0].status == 404
    assert not (tmp_path / "got").exists() or not (tmp_path / "got").read_bytes()


def test_tftp_takes_no_upload(site: Site, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("x")
    with pytest.raises(tftpy.TftpException):
        tftpy.TftpClient("127.0.0.1", site.ports.tftp).upload("images/big", str(tmp_path / "new"), timeout=3)
    assert (site.repository / "images" / "big").stat().st_size == BIG
    assert site.requests(1)[0].status == 403


def test_tftp_survives_nonsense(site: Site, tmp_path: Path) -> None:
    before = tftp_children(site.ports.tftp)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for packet in NONSENSE:
            client.sendto(packet, ("127.0.0.1", site.ports.tftp))
    site.tftp_get("boot.ipxe", tmp_path / "got")
    assert tftp_children(site.ports.tftp) == before


def test_tftp_is_started_again(site: Site, tmp_path: Path) -> None:
    (child,) = tftp_children(site.ports.tftp)
    os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while tftp_children(site.ports.tftp) in ([], [child]) or site.get("/healthz")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    site.tftp_get("boot.ipxe", tmp_path / "got")


def test_end(tmp_path: Path, network: Network) -> None:
    with running(configure(tmp_path, network)) as process:
        idle = http.client.HTTPConnection("127.0.0.1", network.ports.http)
        idle.request("GET", "/boot.ipxe")
        idle.getresponse().read()  # and the connection stays open
        process.terminate()
        assert process.wait(5) == 0
        idle.close()
        assert tftp_children(network.ports.tftp) == []


def test_killed_service_leaves_no_child(tmp_path: Path, network: Network) -> None:
    with running(configure(tmp_path, network)) as process:
        assert len(tftp_children(network.ports.tftp)) == 1
        process.kill()
        process.wait(5)
        wait_until_gone(network.ports.tftp)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def ignore(_: BootFileRequest) -> None:
    """Record nothing."""


async def test_cancelling_the_supervision_ends_the_child(tmp_path: Path, network: Network) -> None:
    port = network.ports.tftp
    async with serve_content(tmp_path, network, ignore) as served:
        tftp = TftpProcess(served.answers, tmp_path, "127.0.0.1", port, ignore)
        await tftp.start()
        (child,) = tftp_children(port)
        supervision = asyncio.create_task(tftp.supervise())
        await asyncio.sleep(0.05)
        supervision.cancel()
        with pytest.raises(asyncio.CancelledError):
            await supervision
    assert not Path(f"/proc/{child}").exists()


async def test_cancelling_the_start_ends_the_child(
    tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_ready = tmp_path / "python"
    never_ready.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nexec sleep 60\n")
    never_ready.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(never_ready))
    async with serve_content(tmp_path, network, ignore) as served:
        tftp = TftpProcess(served.answers, tmp_path, "127.0.0.1", network.ports.tftp, ignore)
        starting = asyncio.create_task(tftp.start())
        written = tmp_path / "pid"
        await until(lambda: written.exists() and written.read_text())
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert not Path(f"/proc/{written.read_text().strip()}").exists()


@pytest.mark.parametrize(("kind", "name"), [(socket.SOCK_STREAM, "HTTP"), (socket.SOCK_DGRAM, "TFTP")])
def test_port_that_is_taken(tmp_path: Path, network: Network, kind: socket.SocketKind, name: str) -> None:
    port = network.ports.http if name == "HTTP" else network.ports.tftp
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", port))
        if kind is socket.SOCK_STREAM:
            other.listen()
        argv = [sys.executable, "-P", "-c", CODE, "--config-dir", str(configure(tmp_path, network))]
        process = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert process.returncode == 4
    first = process.stderr.splitlines()[0]
    assert f"cannot serve {name} on 127.0.0.1:{port}: " in first and "ddress already in use" in first
    assert process.stdout == ""
    wait_until_gone(network.ports.tftp)
