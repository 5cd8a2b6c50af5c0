# SPDX-License-Identifier: Apache-2.0
"""A node's network card: a veth into the lab's bridge, made anew at each boot, of a limited rate."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kadeploy.lab.container import syscalls

CARD = "eth0"
BRIDGE = "br0"
COUNTERS = Path("/proc/self/net/dev")  # of the cards in this process' network namespace (proc(5))
# tc-tbf(8): the bucket must hold what arrives between two ticks of the kernel; larger makes short transfers
# faster than the link. What waits longer than the latency is dropped, as by a switch.
_BURST = "128kb"
_LATENCY = "50ms"


@dataclass(frozen=True, slots=True)
class Wire:
    """``namespace`` and ``port`` are the lab's end, ``rate`` that of each direction ('' for no limit)."""

    namespace: str
    port: str
    mac: str
    address: str
    prefix_length: int
    rate: str

    def renew(self, *, plugged: bool) -> None:
        """Move this process into a new network namespace with nothing but a card, which is down."""
        _run(["ip", "-n", self.namespace, "link", "delete", self.port], may_fail=True)
        syscalls.unshare(syscalls.CLONE_NEWNET)
        peer = f"peer name {CARD} address {self.mac} netns {os.getpid()}"
        state = "up" if plugged else "down"
        self._in_lab([f"link add name {self.port} type veth {peer}"])
        self._in_lab([f"link set {self.port} master {BRIDGE} {state}"])
        if self.rate:
            self.limit()

    def limit(self) -> None:
        """Give the link its rate in both directions, in the place of the one it had."""
        rate = ["tbf", "rate", self.rate, "burst", _BURST, "latency", _LATENCY] if self.rate else ["noqueue"]
        _run(["tc", "-n", self.namespace, "qdisc", "replace", "dev", self.port, "root", *rate])
        _run(["tc", "qdisc", "replace", "dev", CARD, "root", *rate])

    def plug(self, plugged: bool) -> None:
        """Plug the cable in or out: the card has a carrier or none."""
        self._in_lab([f"link set {self.port} {'up' if plugged else 'down'}"])

    def received(self) -> int:
        """Bytes that have come to the card since the wire was made; 0 where there is none."""
        for line in COUNTERS.read_text().splitlines():
            name, _, numbers = line.partition(":")
            if name.strip() == CARD:
                return int(numbers.split()[0])
        return 0

    def set_address(self) -> None:
        """Set the address of the card, as the firmware does."""
        _batch(["ip"], [f"address add {self.address}/{self.prefix_length} dev {CARD}", f"link set {CARD} up"])

    def clear_address(self) -> None:
        """Remove the address, so that the booted system finds none."""
        _batch(["ip"], [f"link set {CARD} down", f"address flush dev {CARD}"])

    def _in_lab(self, lines: Iterable[str]) -> None:
        _batch(["ip", "-n", self.namespace], lines)


def _batch(command: list[str], lines: Iterable[str]) -> None:
    _run([*command, "-batch", "-"], "".join(f"{line}\n" for line in lines))


def _run(argv: list[str], text: str = "", *, may_fail: bool = False) -> None:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode and not may_fail:
        raise OSError(f"{' '.join(argv)}: {done.stderr.strip()} ({text.strip()})")
