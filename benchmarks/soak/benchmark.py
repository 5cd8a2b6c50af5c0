# SPDX-License-Identifier: Apache-2.0
"""What many deployments in one process leave behind: descriptors, threads, memory, namespaces, mounts, rows.

Deploys fleet-min again and again on the same container nodes, and tells after each deployment what the
process and the lab hold. Exit status 1 where something grows after the third deployment that should not.
Needs root, and what bin/build-deploy-env and 'bin/build-environment fleet-min' have built.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import lab, processors
from benchmarks.soak import drift
from kadeploy.lab.plan import MAX_NODES

NODES, TIMES = 50, 20
QUICK_NODES, QUICK_TIMES = 5, 4


def measure(count: int, times: int, options: lab.FleetOptions) -> list[dict[str, Any]]:
    """What was held before the first deployment and after each."""
    name, rows = f"soak-{os.getpid()}", []
    with tempfile.TemporaryDirectory(prefix="soak-") as work, lab.fleet(name, count, options):
        key = lab.make_key(Path(work))
        # In a process of its own: it enters the network of the lab, which is to be taken down from outside.
        argv = [sys.executable, "-m", "benchmarks.soak.repetition", name, str(count), str(times), str(key)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    rows.append(json.loads(line))
                    say(rows[-1], count)
            except BaseException:
                process.terminate()
                raise
    if process.returncode != 0 or any(row["ok"] != count for row in rows[1:]):
        sys.exit("soak: a deployment has failed: what it left behind says nothing")
    return rows


def say(row: dict[str, Any], count: int) -> None:
    held = ", ".join(f"{name} {value:.4g}" for name, value in row["held"].items())
    done = f"deployment {row['deployment']}: {row['seconds']} s, {row['ok']} of {count}"
    print(f"{done if row['deployment'] else 'before'}: {held}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there, too")
    parser.add_argument("--nodes", type=int, help=f"how many [default: {NODES}]")
    parser.add_argument("--times", type=int, help=f"deployments [default: {TIMES}]")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_NODES} nodes, {QUICK_TIMES} times")
    parser.add_argument("--boot-delay", type=float, default=1, help="seconds of each boot [default: 1]")
    parser.add_argument("--disk", default="512MiB", help="size of each disk [default: 512MiB]")
    arguments = parser.parse_args()
    count = arguments.nodes or (QUICK_NODES if arguments.quick else NODES)
    times = arguments.times or (QUICK_TIMES if arguments.quick else TIMES)
    if not 1 <= count <= MAX_NODES or times < 1:
        parser.error(f"--nodes: 1 to {MAX_NODES}; --times: at least 1")
    if os.geteuid() != 0:
        parser.exit(3, "a lab needs root\n")
    if lacking := lab.missing():
        parser.exit(3, f"{', '.join(lacking)} missing\n")
    machine = processors.machine(os.getloadavg()[0])
    rows = measure(count, times, lab.FleetOptions(arguments.boot_delay, "", arguments.disk))
    found = drift.drifts([row["held"] for row in rows])
    if arguments.json:
        drifts = {name: asdict(one) for name, one in found.items()}
        result = {"machine": machine, "nodes": count, "rows": rows, "drifts": drifts}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(drift.lines(rows, found)))
    return 1 if drift.leaks(found) else 0
