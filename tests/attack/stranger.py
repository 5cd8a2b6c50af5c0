# SPDX-License-Identifier: Apache-2.0
"""A stranger on the boot network of a lab: a machine of its own, without any key or password of the site.

It knows what anybody there can learn: the addresses, the files of kadeploy-boot, the engine's public key from
the initrd, and how a miniOS proves itself.
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pyroute2 import netns

from benchmarks.attack import floods
from kadeploy.boot.proof import prove
from tests.keys import write_key

Result = TypeVar("Result")

INTERFACE = "va0"
BOOT_ID = "00000000-0000-4000-8000-000000000000"

# What runs for each session: it is told what it was asked for, and answers as a miniOS would.
_SESSION = """#!/bin/sh
printf '%s\\n' "$SSH_ORIGINAL_COMMAND" >>{given}
case $SSH_ORIGINAL_COMMAND in
"cat /run/kadeploy/proof") cat {proof} ;;
*cat*) echo; cat >>{given} ;;
esac
exit 0
"""
_SSHD = """\
Port 22
HostKey {key}
AuthorizedKeysFile {authorized}
ForceCommand {session}
StrictModes no
UsePAM no
PidFile none
PermitRootLogin yes
PasswordAuthentication no
VersionAddendum kadeploy-miniOS
"""


@dataclass
class Stranger:
    """Machine in a namespace ``name``, whose card is on the bridge of a lab with this server address."""

    name: str
    lab: str
    server: str
    directory: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def plug(self) -> None:
        """Give it a card on the lab's network."""
        bridge, other = f"kalab-{self.lab}", f"vb{os.getpid() % 100000}"
        _ip("netns", "add", self.name)
        peer = ("type", "veth", "peer", "name", other, "netns", bridge)
        _ip("link", "add", INTERFACE, "netns", self.name, *peer)
        _ip("-n", bridge, "link", "set", other, "master", "br0", "up")
        _ip("-n", self.name, "link", "set", INTERFACE, "up")

    def unplug(self) -> None:
        """End all that it runs, and take its cable away."""
        self.rest()
        for argv in (["-n", self.name, "link", "delete", INTERFACE], ["netns", "delete", self.name]):
            subprocess.run(["ip", *argv], check=False, capture_output=True)

    def rest(self) -> None:
        """End its programs; the sessions of its sshd have left their group."""
        argv = ["ip", "netns", "pids", self.name]
        found = subprocess.run(argv, capture_output=True, text=True, check=False)
        for pid in map(int, found.stdout.split()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.wait()
        self.processes.clear()

    def take_address(self, address: str) -> None:
        """Take an address, and tell everybody again and again that it is there (gratuitous ARP)."""
        _ip("-n", self.name, "addr", "add", f"{address}/16", "dev", INTERFACE)
        self._start([sys.executable, str(Path(__file__).with_name("announce.py")), INTERFACE, address])

    def flood(self, address: str, port: int) -> None:
        """Connect to a port of a node again and again."""
        self._start([sys.executable, str(Path(__file__).with_name("flood.py")), address, str(port)])

    def take_addresses(self, addresses: list[str]) -> None:
        """Take many addresses."""
        lines = "".join(f"address add {address}/16 dev {INTERFACE}\n" for address in addresses)
        argv = ["ip", "-n", self.name, "-batch", "-"]
        subprocess.run(argv, input=lines, text=True, check=True, capture_output=True)

    def flood_boot_server(self, kind: str, node: str, own: list[str]) -> subprocess.Popen[bytes]:
        """Start a flood of the boot server from own addresses; ``node`` is the address of a node."""
        return self._start([sys.executable, floods.__file__, kind, self.server, node, *own])

    def take_mac(self, mac: str) -> None:
        """Give its card the MAC of another machine."""
        _ip("-n", self.name, "link", "set", INTERFACE, "down")
        _ip("-n", self.name, "link", "set", INTERFACE, "address", mac)
        _ip("-n", self.name, "link", "set", INTERFACE, "up")

    def fetch(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """Status and content of a file of kadeploy-boot; 0 where it does not answer."""

        def ask() -> tuple[int, bytes]:
            connection = http.client.HTTPConnection(self.server, 8069, timeout=5)
            try:
                connection.request(method, path)
                answer = connection.getresponse()
                return answer.status, answer.read()
            except OSError:
                return 0, b""
            finally:
                connection.close()

        return self.inside(ask)

    def secret(self, path: str) -> str:
        """The secret of a boot profile, '' where it gets none."""
        return secret_of(self.fetch(path)[1])

    def serve_miniOS(self, engine_key: str) -> RogueMinios:
        """Start an sshd that lets the engine in, and plays a miniOS."""
        folder = self.directory / f"rogue-{time.monotonic_ns()}"
        folder.mkdir()
        rogue = RogueMinios(folder)
        write_key(rogue.key, comment="rogue")
        (folder / "authorized_keys").write_text(engine_key)
        for name in ("given", "proof"):
            (folder / name).touch()
        session = folder / "session"
        session.write_text(_SESSION.format(given=folder / "given", proof=folder / "proof"))
        session.chmod(0o755)
        configuration = folder / "sshd_config"
        configuration.write_text(
            _SSHD.format(key=rogue.key, authorized=folder / "authorized_keys", session=session)
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        self._start(["/usr/sbin/sshd", "-D", "-e", "-f", str(configuration)])
        return rogue

    def inside(self, action: Callable[[], Result]) -> Result:
        """Result of what is done from its place on the network."""
        with _entered(self.name):
            return action()

    def _start(self, argv: list[str]) -> subprocess.Popen[bytes]:
        inside = ["ip", "netns", "exec", self.name, *argv]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(inside, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
        self.processes.append(process)
        return process


@dataclass(frozen=True, slots=True)
class RogueMinios:
    """The stranger's sshd, with a key of its own; ``given`` is what the engine has asked of it, and sent."""

    folder: Path

    @property
    def key(self) -> Path:
        return self.folder / "key"

    @property
    def public(self) -> str:
        return " ".join(self.key.with_suffix(".pub").read_text().split()[:2])

    def prove(self, secret: str) -> None:
        """Write a proof of its own key by a secret."""
        self.write(f"{BOOT_ID} {prove(self.public, BOOT_ID, secret)}\n")

    def write(self, proof: str) -> None:
        (self.folder / "proof").write_text(proof)

    @property
    def given(self) -> list[str]:
        """Commands and input, line by line."""
        return (self.folder / "given").read_text(errors="replace").splitlines()


def secret_of(profile: bytes) -> str:
    """The secret on the kernel command line of a profile."""
    for word in profile.split():
        if word.startswith(b"kadeploy.boot="):
            return word.removeprefix(b"kadeploy.boot=").decode()
    return ""


@contextmanager
def _entered(name: str) -> Iterator[None]:
    """This thread in a network namespace."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        netns.setns(name, flags=0)
        yield
    finally:
        netns.setns(own)
        os.close(own)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
