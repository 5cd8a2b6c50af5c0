# SPDX-License-Identifier: Apache-2.0
"""Deploys on a fleet of container nodes of which some are broken, and judges what is said of each node.

First all nodes are deployed without faults, then with the faults of each seed, which a plan deals out. Prints
which node got what, precision and recall of each class of verdicts, and how much later the healthy nodes were
ready. Exit status 1 where a node ended otherwise than it had to, or the healthy ones were over 10 % later.
"""

from __future__ import annotations

import os
import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path

from benchmarks import lab
from benchmarks.arguments import count, number
from benchmarks.benchmark import CHECKOUT, Benchmark, Result, say
from benchmarks.faults.fleet import Fleet, fleet
from benchmarks.faults.report import Campaign, FaultyRun, figures, lines
from kadeploy.errors import NotFoundError
from kadeploy.lab.plan import MAX_NODES

PLAN = Path(__file__).with_name("plan.yaml")
QUICK_NODES, QUICK_SHARE = 20, 45


def add_options(parser: ArgumentParser) -> None:
    size = "size of the fleet [default: 100]"
    parser.add_argument("--nodes", type=count(MAX_NODES), default=100, metavar="N", help=size)
    seeds = "[default: 1 2 3]"
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="SEED", help=seeds)
    share = "of broken nodes [default: 15]"
    parser.add_argument("--share", type=number(0, 100), default=15, metavar="PERCENT", help=share)
    plan = f"of the faults [default: {PLAN.relative_to(CHECKOUT)}]"
    parser.add_argument("--plan", type=Path, default=PLAN, metavar="FILE", help=plan)
    delay = "seconds of each boot, one more or less [default: 5]"
    parser.add_argument("--boot-delay", type=number(0, 3600), default=5, help=delay)
    parser.add_argument("--name", default=f"faults-{os.getpid()}", help="of the lab")
    logs = "leave logs and results of kadeploy there"
    parser.add_argument("--logs", type=Path, metavar="DIRECTORY", help=logs)


def measure(options: Namespace) -> Result:
    lab.check_built(lab.FLEET)
    if not options.plan.is_file():
        raise NotFoundError(f"--plan: there is no file {options.plan}")
    if options.logs:
        options.logs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="faults-") as work:
        ours = lab.Lab(options.name, Path(work))
        with fleet(ours, options.nodes, options.boot_delay, options.logs) as nodes:
            campaign = carry_out(nodes, options.plan, options.share / 100, options.seeds)
    found = figures(campaign)
    return Result(found, list(lines(campaign)), good=not found["violations"])


def carry_out(nodes: Fleet, plan: Path, share: float, seeds: list[int]) -> Campaign:
    """All deployments."""
    sound = nodes.deploy("no faults")
    say(f"{len(nodes.names)} nodes deployed in {sound.seconds:.1f} s")
    results = []
    for seed in seeds:
        nodes.mend()
        broken = nodes.break_nodes(plan, share, seed)
        run = nodes.deploy(f"seed {seed}")
        say(f"seed {seed}: over after {run.seconds:.1f} s")
        results.append(FaultyRun(seed, run, broken))
    return Campaign(nodes.names, sound, results)


BENCHMARK = Benchmark(
    description=__doc__,
    add_options=add_options,
    measure=measure,
    quick={"nodes": QUICK_NODES, "share": QUICK_SHARE, "seeds": [1]},
    quickly=f"{QUICK_NODES} nodes, {QUICK_SHARE} %% broken, one seed: within 5 minutes",
)
