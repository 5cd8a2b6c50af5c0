# SPDX-License-Identifier: Apache-2.0
"""Deploys on a fleet of container nodes of which some are broken, and judges what is said of each node.

First all nodes are deployed without faults, then with the faults of each seed, which
benchmarks/faults/plan.yaml deals out. Prints which node got what, precision and recall of each class of
verdicts, and how much later the healthy nodes were ready. Exit status 1 where a node ended otherwise than it
had to, or the healthy ones were more than 10 % later. Needs root and what bin/build-deploy-env and
'bin/build-environment fleet-min' have built.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from benchmarks.faults.campaign import Fleet, fleet, say
from benchmarks.faults.report import Campaign, Result, figures, lines

QUICK_NODES, QUICK_SHARE = 20, 45


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there, too")
    parser.add_argument("--nodes", type=int, default=100, metavar="N", help="size of the fleet (100)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="SEED", help="(1 2 3)")
    parser.add_argument("--share", type=int, default=15, metavar="PERCENT", help="of broken nodes (15)")
    parser.add_argument("--name", default=f"faults-{os.getpid()}", help="of the lab")
    parser.add_argument(
        "--logs", type=Path, metavar="DIRECTORY", help="leave logs and results of kadeploy there"
    )
    quick = f"{QUICK_NODES} nodes, {QUICK_SHARE} %% broken, one seed: within 5 minutes"
    parser.add_argument("--quick", action="store_true", help=quick)
    arguments = parser.parse_args()
    if not 1 <= arguments.nodes <= 200 or not 0 <= arguments.share <= 100:
        parser.error("--nodes: 1 to 200; --share: 0 to 100")
    if arguments.quick:
        arguments.nodes, arguments.share = QUICK_NODES, QUICK_SHARE
        arguments.seeds = arguments.seeds[:1]
    if arguments.logs:
        arguments.logs.mkdir(parents=True, exist_ok=True)
    load = [os.getloadavg()[0]]
    with fleet(arguments.name, arguments.nodes, arguments.logs) as lab:
        campaign = carry_out(lab, arguments.share / 100, arguments.seeds)
    load.append(os.getloadavg()[0])
    result = figures(campaign, load)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(lines(campaign)))
    return 1 if result["violations"] else 0


def carry_out(lab: Fleet, share: float, seeds: list[int]) -> Campaign:
    """All deployments."""
    sound = lab.deploy("no faults")
    say(f"{lab.count} nodes deployed in {sound.seconds:.1f} s")
    results = []
    for seed in seeds:
        lab.mend()
        lots = lab.break_nodes(share, seed)
        run = lab.deploy(f"seed {seed}")
        say(f"seed {seed}: over after {run.seconds:.1f} s")
        results.append(Result(seed, run, lots))
    return Campaign(lab.names, sound, results)
