# SPDX-License-Identifier: Apache-2.0
"""Nodes in namespaces: wires of a given rate to one bridge, and each with a directory of its own.

The caller has put this process into network, mount and process namespaces of its own: what is made here is
gone with it, however it ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HEAD = "head"
BRIDGE = "br0"
NETWORK = "10.77"
# As large as one packet of the sender's offload may be, and no more than 30 ms of waiting in the queue.
QUEUE = "burst 32kb latency 30ms"
HOLD = 'mount --bind "$0" "$1" && echo held && exec sleep infinity'


@dataclass(frozen=True, slots=True)
class Wire:
    """One place at the bridge."""

    name: str
    number: int

    @property
    def address(self) -> str:
        return f"{NETWORK}.{self.number // 250}.{self.number % 250 + 1}"

    @property
    def port(self) -> str:
        """The end at the bridge; the other one is eth0."""
        return f"p{self.number}"


class Fleet:
    """A head and `nodes` in namespaces; `rate` is of each wire, in bits per second, None: unlimited.

    `folder` is private to this process. On a node ``here`` is the node's own directory, which this process
    sees as ``store(node)``.
    """

    def __init__(self, folder: Path, nodes: int, rate: int | None) -> None:
        self.folder = folder
        self.rate = rate
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        self.wires = {name: Wire(name, number) for number, name in enumerate([HEAD, *self.nodes])}
        self.here = folder / "node"
        self._holders: dict[str, subprocess.Popen[bytes]] = {}

    def address(self, node: str) -> str:
        return self.wires[node].address

    def store(self, node: str) -> Path:
        return self.folder / "stores" / node

    def enter(self, node: str) -> list[str]:
        """The words before a command that is to run on `node`; the head sees the directories of all."""
        mounts = [] if node == HEAD else [f"--mount=/proc/{self._holders[node].pid}/ns/mnt"]
        return ["nsenter", f"--net=/proc/{self._holders[self.network(node)].pid}/ns/net", *mounts, "--"]

    def holder(self, node: str) -> int:
        """The process that keeps the namespaces of `node`."""
        return self._holders[node].pid

    def network(self, node: str) -> str:
        """Whose network namespace `node` is in."""
        return node

    @contextmanager
    def up(self) -> Iterator[None]:
        """The fleet, wired; afterwards it is gone."""
        try:
            self._make_spaces()
            self.make_wires()
            yield
        finally:
            self._remove()

    def clean(self) -> None:
        """Empty the directories of all nodes."""
        for node in self.nodes:
            for entry in self.store(node).iterdir():
                if entry.is_dir():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()

    def at_bridge(self, command: Sequence[str]) -> list[str]:
        """The command line with which a process on the head runs this command at the bridge."""
        return ["nsenter", f"--net=/proc/{os.getpid()}/ns/net", "--", *command]

    def set_links(self, nodes: Sequence[str], *, up: bool) -> list[str]:
        """The command that plugs or pulls the wires of `nodes`; nobody is told, packets just vanish."""
        state = "up" if up else "down"
        lines = "".join(f"link set {self.wires[node].port} {state}\n" for node in nodes)
        return ["sh", "-c", 'printf %s "$0" | ip -batch -', lines]

    def set_rate(self, node: str, rate: int) -> list[str]:
        """The command that changes the rate of one wire, at both ends."""
        port = f"tc qdisc replace dev {self.wires[node].port} root tbf rate {rate}bit {QUEUE}"
        inner = f"tc qdisc replace dev eth0 root tbf rate {rate}bit {QUEUE}"
        return ["sh", "-c", f"{port} && {' '.join(self.enter(node))} {inner}"]

    def _make_spaces(self) -> None:
        """A process in each pair of namespaces keeps it: nothing but its end has to be cared for."""
        self.here.mkdir(exist_ok=True)
        for node in self.wires:
            self.store(node).mkdir(parents=True)
            command: list[str | Path] = [
                "unshare",
                "--net",
                "--mount",
                "sh",
                "-c",
                HOLD,
                self.store(node),
                self.here,
            ]
            self._holders[node] = subprocess.Popen(command, stdout=subprocess.PIPE)
        for node, holder in self._holders.items():
            assert holder.stdout
            if not holder.stdout.readline():
                raise OSError(f"no namespaces can be made for {node}")

    def make_wires(self) -> None:
        lines = [f"link add {BRIDGE} type bridge forward_delay 0 stp_state 0 mcast_snooping 0"]
        for name, wire in self.wires.items():
            holder = self._holders[name].pid
            lines.append(f"link add {wire.port} type veth peer name eth0 netns {holder}")
            lines.append(f"link set {wire.port} master {BRIDGE} up")
        run(["ip", "-batch", "-"], "\n".join([*lines, f"link set {BRIDGE} up", ""]))
        if self.rate:
            limits = [f"qdisc add dev {wire.port} {self._limit()}\n" for wire in self.wires.values()]
            run(["tc", "-batch", "-"], "".join(limits))
        for name in self.wires:
            self._configure(name)

    def _configure(self, name: str) -> None:
        lines = [
            "link set lo up",
            f"addr add {self.address(name)}/16 brd + dev eth0",  # udpcast asks for its peers by broadcast
            "link set eth0 up",
            "route add 224.0.0.0/4 dev eth0",
        ]
        run([*self.enter(name), "ip", "-batch", "-"], "\n".join([*lines, ""]))
        if self.rate:
            run([*self.enter(name), "tc", "qdisc", "add", "dev", "eth0", *self._limit().split()])

    def _limit(self) -> str:
        return f"root tbf rate {self.rate}bit {QUEUE}"

    def _remove(self) -> None:
        # The kernel would take the wires away some time after the namespaces: while others are measured.
        names = [BRIDGE, *(wire.port for wire in self.wires.values())]
        lines = "".join(f"link del {name}\n" for name in names)
        subprocess.run(
            ["ip", "-force", "-batch", "-"], input=lines.encode(), check=False, capture_output=True
        )
        for holder in self._holders.values():
            holder.kill()
            holder.communicate()
        self._holders.clear()
        shutil.rmtree(self.folder / "stores")


def run(command: Sequence[str], text: str = "") -> None:
    """Raises CalledProcessError, with what the command said on standard error."""
    subprocess.run(command, input=text.encode(), check=True)
