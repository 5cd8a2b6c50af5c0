# SPDX-License-Identifier: Apache-2.0
"""series FOLDER: what control_plane runs in namespaces of its own; the samples go to standard output.

Its input is JSON: ``nodes`` (a list of numbers), ``repeat``, ``budget`` (no repetition begins after so many
seconds), ``parallel_ssh`` (the Python that has it). The output has a JSON object per line. It is process 1 of
its namespace: whatever it has started ends with it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.control_plane import tools
from benchmarks.control_plane.fleet import Fleet, RunFailed, addresses
from benchmarks.control_plane.measure import Sample, run_all


def main(folder: Path, orders: dict[str, Any]) -> None:
    """Print samples until all repetitions are done, or the time is over."""
    fleet = Fleet(folder)
    fleet.enter_private_machine()
    hosts = addresses(max(orders["nodes"]))
    with fleet.servers(hosts):
        for sample in samples(fleet, hosts, orders):
            print(json.dumps(asdict(sample)), flush=True)


def samples(fleet: Fleet, hosts: list[str], orders: dict[str, Any]) -> Iterator[Sample]:
    """All tools with all numbers of nodes, again and again: what disturbs one of them hits the others."""
    libraries = tools.libraries(fleet, Path(orders["parallel_ssh"]))
    commands = tools.present_commands()
    began = time.monotonic()
    for repetition in range(orders["repeat"]):
        if repetition and time.monotonic() - began > orders["budget"]:
            return
        for nodes in orders["nodes"]:
            yield from run_all(fleet, hosts[:nodes], libraries, commands)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), json.load(sys.stdin))
    except RunFailed as error:
        sys.exit(str(error))
