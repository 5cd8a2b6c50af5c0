# SPDX-License-Identifier: Apache-2.0
"""kadeploy's own broadcasts: each run is a process on the head that starts relays on the nodes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .crew import Crew, Member
from .fleet import HEAD, Fleet
from .loads import NAME, Load

HTTP = "kadeploy-http"
# What the broadcaster is told of each. In a chain or a tree the stream begins when all nodes listen; a node
# that fetches the image by itself begins when it is started.
BROADCASTS: dict[str, dict[str, Any]] = {
    "kadeploy": {"broadcast": "kadeploy.broadcast.chain:ChainBroadcast", "options": {}, "gathers": True},
    "kadeploy-tree": {
        "broadcast": "kadeploy.broadcast.chain:ChainBroadcast",
        "options": {"arity": 2},
        "gathers": True,
    },
    HTTP: {
        "broadcast": "kadeploy.broadcast.http_pull:HttpPullBroadcast",
        "options": {},
        "gathers": False,
    },
}
BROADCASTER = "benchmarks.broadcast.broadcaster"
REPORTED = (
    *("seconds", "busy", "head_cpu", "nodes_cpu", "run_seconds"),
    *("failed", "reasons", "notes"),
)


def race(name: str) -> Callable[[Crew, Load], Mapping[str, Any]]:
    """The race of one of `BROADCASTS`."""

    def run(crew: Crew, load: Load) -> Mapping[str, Any]:
        report = broadcast(crew, orders(crew, load, name))
        return {key: report[key] for key in REPORTED}

    return run


def orders(crew: Crew, load: Load, name: str) -> dict[str, Any]:
    """Orders for ``broadcaster.py``, of a run without faults."""
    fleet = crew.fleet
    return {
        **BROADCASTS[name],
        "image": str(load.path),
        "size": load.size,
        "sha256": load.sha256,
        "head": fleet.address(HEAD),
        "nodes": {node: [fleet.address(node), fleet.enter(node)] for node in fleet.nodes},
        "consumer": _consumer(fleet, load),
    }


def _consumer(fleet: Fleet, load: Load) -> str | list[list[str]]:
    """Consumer of a load on all nodes; the file of one is made here, as relays write into what is there."""
    if load.kind != "file":
        return load.pipeline(fleet)
    for node in fleet.nodes:
        (fleet.store(node) / NAME).touch()
    return str(fleet.here / NAME)


def broadcast(crew: Crew, told: Mapping[str, Any]) -> dict[str, Any]:
    """Run a broadcast; its report (``broadcaster.py`` says what is in it)."""
    told_path, report_path = crew.fleet.folder / "orders.json", crew.fleet.folder / "report.json"
    told_path.write_text(json.dumps(told))
    report_path.unlink(missing_ok=True)
    with crew.timed():
        crew.finish([_start(crew, told_path, report_path)])
    report: dict[str, Any] = json.loads(report_path.read_text())
    return report


def _start(crew: Crew, told: Path, report: Path) -> Member:
    return crew.start(HEAD, [sys.executable, "-m", BROADCASTER, told, report])
