# SPDX-License-Identifier: Apache-2.0
"""A chain of mbuffers: each node writes what comes, and sends it on, from a buffer of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from one_to_all.crew import Crew
from one_to_all.loads import NAME, Load

PORT = 29000
# A block is the least that is sent on: with the default of 4 MiB each node would add a tenth of the whole time.
BUFFER = ("-q", "-Q", "-4", "-s", "128k", "-m", "16M")


def mbuffer(crew: Crew, load: Load) -> Mapping[str, Any]:
    """From the last node to the first, each of which connects to the one that already listens."""
    fleet, members, forward = crew.fleet, [], ""
    for node in reversed(fleet.nodes):
        sink = f"-o {fleet.here / NAME}" if load.kind == "file" else f"-o - | {load.shell(fleet)}"
        command = f"mbuffer {' '.join(BUFFER)} -I {PORT} {forward} {sink}"
        members.append(crew.start(node, ["sh", "-c", command]))
        crew.await_port(members[-1], PORT)
        forward = f"-O {fleet.address(node)}:{PORT}"
    with crew.timed():
        source = crew.start("head", ["sh", "-c", f"mbuffer {' '.join(BUFFER)} -i {load.path} {forward}"])
        crew.finish([source, *members])
    return {}
