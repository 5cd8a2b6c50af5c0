# SPDX-License-Identifier: Apache-2.0
"""Many sshds of OpenSSH on loopback addresses, port 22, in the private network of this process.

The caller has put this process into network and mount namespaces of its own. Root's home is an empty
directory and its shell is dash: start-up files of a real root may cost more than what is measured.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.benchmark import MeasurementError

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
START_TIME = 60.0  # seconds for the sshds to listen
ANSWER = "here"
COMMAND = ("/bin/echo", ANSWER)  # what is run on each node: a program, for shells have an echo of their own

# All tools get these, whatever they would prefer: the default key exchange of OpenSSH clients costs five to
# seven times as much, and would hide all other differences.
_SERVER = """Port 22
HostKey {folder}/host
AuthorizedKeysFile {folder}/client.pub
KexAlgorithms curve25519-sha256,curve25519-sha256@libssh.org
Ciphers aes128-gcm@openssh.com
HostKeyAlgorithms ssh-ed25519
PubkeyAcceptedAlgorithms ssh-ed25519
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
PermitRootLogin prohibit-password
PidFile none
LogLevel ERROR
"""
_CLIENT = """Host *
IdentityFile {folder}/client
IdentitiesOnly yes
PreferredAuthentications publickey
GSSAPIAuthentication no
UserKnownHostsFile {folder}/known_hosts
GlobalKnownHostsFile none
StrictHostKeyChecking yes
UpdateHostKeys no
LogLevel ERROR
"""
_SHARED = "ControlMaster no\nControlPath {folder}/masters/%h\n"


def addresses(count: int) -> list[str]:
    """Addresses on which the sshds of so many nodes listen."""
    return [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(count)]


class Fleet:
    """The files of all sshds and clients; ``folder`` is empty and private."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client_key = folder / "client"
        self.host_key = folder / "host"
        (folder / "masters").mkdir()
        (folder / "home" / ".ssh").mkdir(parents=True, mode=0o700)
        for key in (self.client_key, self.host_key):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)]
            subprocess.run(command, check=True)
        (folder / "known_hosts").write_text(f"127.1.* {self.host_key.with_suffix('.pub').read_text()}")
        (folder / "sshd_config").write_text(_SERVER.format(folder=folder))
        self.configure_clients(shared=False)

    def enter_private_machine(self) -> None:
        """Give this process' namespaces a loopback device and an empty home of root."""
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        lines = [line for line in Path("/etc/passwd").read_text().splitlines() if line[:5] != "root:"]
        accounts = self.folder / "passwd"
        accounts.write_text("\n".join([f"root:x:0:0::{self.folder}/home:/bin/sh", *lines, ""]))
        subprocess.run(["mount", "--bind", str(accounts), "/etc/passwd"], check=True)

    def configure_clients(self, *, shared: bool) -> None:
        """Write what `ssh` does by default from now on: a connection of its own, or the master's."""
        text = _CLIENT + _SHARED if shared else _CLIENT
        (self.folder / "home" / ".ssh" / "config").write_text(text.format(folder=self.folder))

    @contextmanager
    def servers(self, hosts: Sequence[str]) -> Iterator[None]:
        """An sshd for each of these addresses; all of them answer."""
        assert SSHD is not None
        configuration = str(self.folder / "sshd_config")
        running = [
            subprocess.Popen([SSHD, "-D", "-f", configuration, "-o", f"ListenAddress={host}"])
            for host in hosts
        ]
        try:
            _wait_for(hosts, running)
            yield
        finally:
            end(running)

    @contextmanager
    def masters(self, hosts: Sequence[str]) -> Iterator[list[int]]:
        """A master connection of OpenSSH to each of these addresses: their process ids."""
        with ThreadPoolExecutor(8) as pool:
            running = list(pool.map(self._master, hosts))
        try:
            yield [process.pid for process in running]
        finally:
            end(running)

    def _master(self, host: str) -> subprocess.Popen[bytes]:
        socket_path = self.folder / "masters" / host
        socket_path.unlink(missing_ok=True)  # of a master that was killed
        command = ["ssh", "-M", "-N", "-S", str(socket_path), host]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIME
        while not socket_path.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise MeasurementError(f"no master connection to {host}")
            time.sleep(0.02)
        return process


def end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End what we have started, at once: a master that a tool still speaks to ignores a polite request."""
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()


def _wait_for(hosts: Sequence[str], servers: Sequence[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + START_TIME
    for host, server in zip(hosts, servers, strict=True):
        while not _listens(host):
            if server.poll() is not None or time.monotonic() > deadline:
                raise MeasurementError(f"the sshd of {host} does not listen")
            time.sleep(0.05)


def _listens(host: str) -> bool:
    try:
        with socket.create_connection((host, 22), timeout=5):
            return True
    except OSError:
        return False
