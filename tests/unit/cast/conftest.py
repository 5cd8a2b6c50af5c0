# SPDX-License-Identifier: Apache-2.0
"""Hosts that are one OpenSSH server at several loopback addresses, and a user whose files name them."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.remote.conftest import Keys, Sshd, keys, sshd

__all__ = ["keys", "sshd"]

COUNT = 3
NOBODY = "node-9"  # an address at which nothing listens
CHECKOUT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class User:
    """Who runs kacast: a home directory with ssh's files, and a place where the hosts leave what they got."""

    home: Path
    out: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONWARNINGS": "error",
        }

    @property
    def store(self) -> list[str]:
        """A command for hosts that puts the file below ``out``, named after the host's address."""
        return ["--", "sh", "-c", 'set -- "$1" $SSH_CONNECTION; cat >"$1/$4"', "sh", str(self.out)]

    @property
    def files(self) -> list[bytes]:
        """What the hosts have stored."""
        return [(self.out / f"127.0.1.{number}").read_bytes() for number in range(1, COUNT + 1)]

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """A kacast that runs, with pipes."""
        pipe = subprocess.PIPE
        argv = [Path(sys.executable).with_name("kacast"), *arguments]
        return subprocess.Popen(
            argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=self.environment, cwd=self.out
        )

    def cast(self, *arguments: str | Path, text: str = "") -> subprocess.CompletedProcess[str]:
        """A kacast to its end."""
        with self.start(*arguments) as process:
            stdout, stderr = process.communicate(text, timeout=60)
        assert "Traceback" not in stderr
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def assert_nothing_left(self) -> None:
        """No process of a host mentions this user's place, and no file of a cast is there."""
        until(lambda: not self.processes(), f"{self.processes()} left")
        assert [path.name for path in self.out.iterdir() if path.name.startswith(".")] == []

    def processes(self) -> list[str]:
        """Command lines that mention this user's place."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                text = path.read_bytes().decode(errors="replace")
                if str(self.out) in text and int(path.parent.name) != os.getpid():
                    found.append(text.replace("\0", " "))
        return found


def until(done: object, message: str, seconds: float = 10) -> None:
    """Wait until something is so."""
    assert callable(done)
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, message
        time.sleep(0.05)


def answers(address: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((address, port), 1) as connection:
        return connection.recv(4) == b"SSH-"
    return False


@pytest.fixture
def user(sshd: Sshd, keys: Keys, tmp_path: Path) -> Iterator[User]:
    """Every test ends with nothing left of its casts."""
    sshd.stop()
    text = sshd.configuration.read_text()
    more = "".join(f"ListenAddress 127.0.1.{number}\n" for number in range(1, COUNT + 1))
    sshd.configuration.write_text(more + text.replace("ListenAddress 127.0.0.1\n", ""))
    sshd.start()
    folder = tmp_path / "home" / ".ssh"
    folder.mkdir(parents=True)
    (folder / "known_hosts").write_text(f"* {keys.public('host')}\n")
    hosts = [*range(1, COUNT + 1), 9]
    (folder / "config").write_text(
        "".join(f"Host node-{number}\n  HostName 127.0.1.{number}\n" for number in hosts)
        + f"Host *\n  User root\n  Port {sshd.port}\n  IdentityFile {keys.client}\n"
    )
    out = tmp_path / "out"
    out.mkdir()
    until(lambda: answers("127.0.1.1", sshd.port), "sshd does not answer")
    found = User(folder.parent, out)
    yield found
    found.assert_nothing_left()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of some megabytes."""
    path = tmp_path_factory.mktemp("data") / "data"
    path.write_bytes(random.Random(7).randbytes((5 << 20) + 123))
    path.chmod(0o640)
    return path
