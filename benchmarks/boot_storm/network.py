# SPDX-License-Identifier: Apache-2.0
"""The head and its nodes: two namespaces of the network, joined by one cable.

The caller has put this process, which is the head, into a namespace of its own.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HEAD = "10.99.0.1"
MOST_NODES = 1000
_NODES = "10.99.4.0/22"  # all of them addresses of the nodes' namespace, without being listed
_QUEUE = "50ms"  # what a switch may hold back of a slow link


def addresses(count: int) -> list[str]:
    """Addresses of so many nodes."""
    return [f"10.99.{4 + number // 250}.{number % 250 + 1}" for number in range(count)]


@contextmanager
def cable(rate: str) -> Iterator[list[str]]:
    """Join head and nodes; yields what to put before a command that the nodes run.

    ``rate``: of the head's port, as tc writes it (1gbit); empty for as fast as this machine can.
    """
    with subprocess.Popen(["unshare", "--net", "sleep", "infinity"]) as holder:
        try:
            _wait_for_namespace(holder.pid)
            inside = ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
            _ip("link", "set", "lo", "up")
            _ip("link", "add", "head", "type", "veth", "peer", "name", "nodes")
            _ip("link", "set", "nodes", "netns", str(holder.pid))
            _ip("address", "add", f"{HEAD}/16", "dev", "head")
            _ip("link", "set", "head", "up")
            _ip("address", "add", "10.99.255.254/16", "dev", "nodes", before=inside)
            for device in ("lo", "nodes"):
                _ip("link", "set", device, "up", before=inside)
            _ip("route", "add", "local", _NODES, "dev", "lo", before=inside)
            if rate:
                shape = ["root", "tbf", "rate", rate, "burst", "1mb", "latency", _QUEUE]
                subprocess.run(["tc", "qdisc", "add", "dev", "head", *shape], check=True)
            yield inside
        finally:
            holder.kill()


def _ip(*words: str, before: Sequence[str] = ()) -> None:
    subprocess.run([*before, "ip", *words], check=True)


def _wait_for_namespace(process: int) -> None:
    mine = Path("/proc/self/ns/net").stat().st_ino
    deadline = time.monotonic() + 10
    while Path(f"/proc/{process}/ns/net").stat().st_ino == mine:
        if time.monotonic() > deadline:
            raise TimeoutError("no namespace for the nodes")
        time.sleep(0.01)
