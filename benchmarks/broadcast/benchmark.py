# SPDX-License-Identifier: Apache-2.0
"""One file for many nodes at once: kadeploy's broadcasts and what others use, on wires of the same rate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from benchmarks.broadcast import plan, report
from benchmarks.broadcast.arguments import chosen_methods, parse
from benchmarks.broadcast.measure import Sample
from benchmarks.broadcast.methods import METHODS

SERIES = "benchmarks.broadcast.series"
QUICK_BUDGET = 270.0  # seconds after which no repetition of --quick may end
AGAIN = 1  # repetition of a run in which the processors were too busy
# Network, mounts and processes of its own, which die with us, however we die.
NAMESPACES = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--mount-proc"]


def measure(orders: dict[str, Any]) -> list[Sample]:
    """Run everything in namespaces of its own; says what each run took."""
    samples = []
    with tempfile.TemporaryDirectory(prefix="kadeploy-broadcast-") as folder:
        command = [*NAMESPACES, "--fork", "--kill-child", sys.executable, "-m", SERIES, folder]
        environment = {**os.environ, "LC_ALL": "C"}
        # In a process group of its own: what a terminal's Ctrl-C ends is us, and it ends with us.
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            process_group=0,
        ) as process:
            try:
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write(json.dumps(orders))
                process.stdin.close()
                for line in process.stdout:
                    samples.append(Sample(**json.loads(line)))
                    say_sample(samples[-1])
            finally:
                if sys.exc_info()[0] is not None:
                    process.kill()
    if process.returncode != 0:
        sys.exit(1)
    return samples


def say_sample(sample: Sample) -> None:
    what = ", ".join(filter(None, [sample.method, sample.case, sample.kind if sample.kind != "file" else ""]))
    result = sample.problem or f"{sample.seconds:.2f} s, {sample.busy:.0%} busy"
    say(f"{sample.nodes:>4} nodes, {what}: {result}{'' if sample.verified else ', NOT VERIFIED'}")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    arguments = parse(__doc__ or "")
    methods = chosen_methods(arguments)
    skipped = {name: reason for name in methods if (reason := METHODS[name].missing())}
    orders = {
        "mode": arguments.mode,
        "nodes": arguments.nodes,
        "rate": int(arguments.rate * plan.MEGABIT),
        "seconds": arguments.seconds,
        "runs": int(arguments.runs),
        "budget": QUICK_BUDGET if arguments.quick else 1e9,
        "only": arguments.only,
        "patience": arguments.patience,
        "again": 0 if arguments.quick else AGAIN,
        "methods": [name for name in methods if name not in skipped],
        "kinds": arguments.loads,
    }
    load = os.getloadavg()[0]
    samples = measure(orders)
    result = report.figures(samples, skipped, [load, os.getloadavg()[0]])
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(report.lines(result)))
    return 0 if all(any(not run["problem"] for run in row["runs"]) for row in result["rows"]) else 1
