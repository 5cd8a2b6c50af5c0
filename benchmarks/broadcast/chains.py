# SPDX-License-Identifier: Apache-2.0
"""A chain of mbuffers: each node writes what comes, and sends it on, from a buffer of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import plan
from .crew import Crew
from .fleet import HEAD
from .loads import NAME, Load

PORT = 29000
MEMORY = "16M"


def mbuffer(crew: Crew, load: Load) -> Mapping[str, Any]:
    """Start nodes from the last to the first, each of which connects to the one that already listens."""
    fleet, members, forward = crew.fleet, [], ""
    assert fleet.rate
    program = f"mbuffer -q -Q -4 -m {MEMORY} -s {plan.block_for(len(fleet.nodes), fleet.rate)}"
    for node in reversed(fleet.nodes):
        sink = f"-o {fleet.here / NAME}" if load.kind == "file" else f"-o - | {load.shell(fleet)}"
        command = f"{program} -I {PORT} {forward} {sink}"
        members.append(crew.start(node, ["sh", "-c", command]))
        crew.await_port(members[-1], PORT)
        forward = f"-O {fleet.address(node)}:{PORT}"
    with crew.timed():
        source = crew.start(HEAD, ["sh", "-c", f"{program} -i {load.path} {forward}"])
        crew.finish([source, *members])
    return {}
