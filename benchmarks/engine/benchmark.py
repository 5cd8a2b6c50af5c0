# SPDX-License-Identifier: Apache-2.0
"""What the engine itself costs: whole deployments of simulated nodes, each size in a process of its own.

Needs no root and no network.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SIZES = (100, 1_000, 10_000)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there, too")
    parser.add_argument("--journal", action="store_true", help="write the journal into a real store")
    parser.add_argument("--nodes", type=int, nargs="+", default=SIZES, metavar="N", help="other sizes")
    arguments = parser.parse_args()
    if min(arguments.nodes) < 1:
        parser.error("--nodes: at least 1")
    rows = [measure(nodes, journal=arguments.journal) for nodes in arguments.nodes]
    if arguments.json:
        arguments.json.write_text(json.dumps({"journal": arguments.journal, "rows": rows}, indent=1) + "\n")
    print("\n".join(lines(rows)))
    return 0


def measure(nodes: int, *, journal: bool) -> dict[str, Any]:
    """The figures of one size."""
    with tempfile.TemporaryDirectory(prefix="engine-") as work:
        command = [
            sys.executable,
            "-m",
            "benchmarks.engine.measure",
            work,
            str(nodes),
            "journal" if journal else "memory",
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """A table; costs per node beside the totals."""
    head = ("nodes", "ok", "seconds", "cpu s", "cpu ms/node", "peak MB", "KB/node", "events", "simulated s")
    table = [" ".join(f"{name:>11}" for name in head)]
    for row in rows:
        values = (
            row["nodes"],
            row["ok"],
            f"{row['seconds']:.2f}",
            f"{row['cpu_seconds']:.2f}",
            f"{1000 * row['cpu_seconds'] / row['nodes']:.2f}",
            f"{row['peak_mb']:.0f}",
            f"{1024 * (row['peak_mb'] - row['start_mb']) / row['nodes']:.1f}",
            row["events"],
            f"{row['simulated']:.0f}",
        )
        table.append(" ".join(f"{value!s:>11}" for value in values))
    return table
