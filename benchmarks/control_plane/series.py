# SPDX-License-Identifier: Apache-2.0
"""The series of control_plane, in namespaces of its own.

Its orders: ``nodes`` (a list of numbers), ``repeat``, ``budget`` (no repetition
begins after so many seconds).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import isolation
from benchmarks.control_plane import tools
from benchmarks.control_plane.fleet import Fleet, addresses
from benchmarks.control_plane.measure import Sample, run_all


def samples(folder: Path, orders: dict[str, Any]) -> Iterator[Sample]:
    """All tools with all numbers of nodes, again and again: what disturbs one of them hits the others."""
    fleet = Fleet(folder)
    fleet.enter_private_machine()
    hosts = addresses(max(orders["nodes"]))
    libraries, commands = tools.libraries(fleet), tools.present_commands()
    with fleet.servers(hosts):
        began = time.monotonic()
        for repetition in range(orders["repeat"]):
            if repetition and time.monotonic() - began > orders["budget"]:
                return
            for nodes in orders["nodes"]:
                yield from run_all(fleet, hosts[:nodes], libraries, commands)


if __name__ == "__main__":
    isolation.tell(samples)
