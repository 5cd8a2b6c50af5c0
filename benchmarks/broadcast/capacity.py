# SPDX-License-Identifier: Apache-2.0
"""What a relay of kadeploy's can do where no wire limits it: two nodes, a large file in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import kadeploy_methods
from .crew import Crew, RunFailed
from .fleet import HEAD, Fleet, run
from .loads import Load
from .measure import DEADLINE_LEAST, Sample, sample

NODES = 2
SIZE = 1 << 30  # bytes
NULL = "/dev/null"
SINKS = ("memory", "null")


class OneStack(Fleet):
    """The nodes are in the network namespace of the head, and meet on its loopback device."""

    def address(self, node: str) -> str:
        return f"127.0.1.{self.wires[node].number + 1}"

    def network(self, node: str) -> str:
        return HEAD

    def make_wires(self) -> None:
        run([*self.enter(HEAD), "ip", "link", "set", "lo", "up"])


def fleets(folder: Path) -> dict[str, Fleet]:
    """Fleets by the kind of wire."""
    return {"veth": Fleet(folder, NODES, None), "loopback": OneStack(folder, NODES, None)}


def measure_capacity(fleet: Fleet, method: str, load: Load, wire: str, sink: str, hashing: bool) -> Sample:
    """One broadcast by wires of the kind `wire` to one of `SINKS`; relays compute digests or do not."""
    case = f"{wire}, to {sink}, {'SHA-256' if hashing else 'no digest'}"
    try:
        return _measure(fleet, method, load, case, sink, hashing=hashing)
    except RunFailed as error:
        return sample(fleet, method, load, case=case, problem=str(error))
    finally:
        fleet.clean()


def _measure(fleet: Fleet, method: str, load: Load, case: str, sink: str, *, hashing: bool) -> Sample:
    """The relay of the first node is looked at: it receives and sends."""
    with Crew(fleet, DEADLINE_LEAST) as crew:
        told: dict[str, Any] = kadeploy_methods.orders(crew, load, method)
        told |= {"watch": fleet.nodes[0], "hashless": not hashing}
        if sink == "null":
            told["consumer"] = NULL
        report = kadeploy_methods.broadcast(crew, told)
    stored = sink == "null" or all(load.arrived(fleet.store(node)) for node in fleet.nodes)
    relay = sum(map(sum, report["threads"]))
    gigabytes = load.size / 1e9
    return sample(
        fleet,
        method,
        load,
        case=case,
        seconds=report["seconds"],
        busy=report["busy"],
        head_cpu=report["head_cpu"],
        nodes_cpu=report["nodes_cpu"],
        verified=stored and not report["failed"],
        more={
            "gb_per_s": gigabytes / report["seconds"],
            "relay_cpu_s_per_gb": relay / gigabytes,
            "head_cpu_s_per_gb": report["head_cpu"] / gigabytes,
            "threads": [[part / gigabytes for part in thread] for thread in report["threads"]],
            "reasons": report["reasons"],
        },
    )
