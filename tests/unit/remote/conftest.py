# SPDX-License-Identifier: Apache-2.0
"""A real sshd of OpenSSH, and one in this process, on loopback."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kadeploy.remote.connection import NodeConnections
from kadeploy.remote.hostkey import FailedProbe, wait_for_host_key
from tests.keys import write_key
from tests.ports import free_port

NODE = "node-1"
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")


@dataclass(frozen=True, slots=True)
class Keys:
    """Paths of private keys; the public ones beside them."""

    host: Path
    other: Path
    client: Path

    def public(self, name: str) -> str:
        path: Path = getattr(self, name)
        return path.with_suffix(".pub").read_text().strip()


@dataclass(slots=True)
class Sshd:
    """OpenSSH's server; start() and stop() for tests of reconnection."""

    port: int
    configuration: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert SSHD is not None
        # Its own process group, so that stop() reaches the processes of its sessions, too.
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", str(self.configuration)], stderr=log, start_new_session=True
            )

    def stop(self) -> None:
        if self.process is not None:
            children = _children(self.process.pid)
            for pid in (self.process.pid, *children):
                _kill(pid)
            self.process.wait(5)
            self.process = None


def _children(parent: int) -> list[int]:
    """Processes of sshd's connections: they have left its group, and outlive it."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True)
    return [int(pid) for pid in listed.stdout.split()]


def _kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("host", "other", "client"):
        write_key(folder / name, comment=name)
    return Keys(folder / "host", folder / "other", folder / "client")


@pytest.fixture
def sshd(keys: Keys, tmp_path: Path) -> Iterator[Sshd]:
    Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    authorized = tmp_path / "authorized_keys"
    authorized.write_text(keys.public("client") + "\n")
    home = tmp_path / "home"  # what the login shell of this machine's root prints is no part of the tests
    home.mkdir()
    configuration = tmp_path / "sshd_config"
    configuration.write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {keys.host}\nAuthorizedKeysFile {authorized}\n"
        "StrictModes no\nPidFile none\nUsePAM no\nPermitRootLogin prohibit-password\n"
        f"MaxStartups 100\nPasswordAuthentication no\nLogLevel VERBOSE\nSetEnv HOME={home}\n"
    )
    server = Sshd(port, configuration, tmp_path / "sshd.log")
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def nodes(sshd: Sshd, keys: Keys) -> AsyncIterator[NodeConnections]:
    """Connections to a node whose sshd answers and whose key is pinned."""
    failed: list[FailedProbe] = []
    try:
        async with asyncio.timeout(30):
            own = [keys.public("host")]
            await wait_for_host_key("127.0.0.1", sshd.port, own, interval=0.05, on_attempt=failed.append)
    except TimeoutError:
        pytest.fail(f"{len(failed)} probes failed, the last: {failed[-1:]}; sshd: {sshd.log.read_text()}")
    connections = NodeConnections(
        client_key=keys.client, address={NODE: "127.0.0.1"}, port=sshd.port, connect_timeout=20
    )
    connections.pin(NODE, [keys.public("host")])
    yield connections
    await connections.aclose()
