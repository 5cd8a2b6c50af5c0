# SPDX-License-Identifier: Apache-2.0
"""The command line of `broadcast`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from benchmarks.arguments import count, counts, number, words
from kadeploy.errors import UsageError

from . import faults, plan
from .kadeploy_methods import BROADCASTS
from .measure import MOST_BUSY
from .methods import METHODS

NODES, FAULTS_NODES = [2, 4, 8, 16, 32, 64], [16]
AGAIN = 1

DETAILS = f"""
how it is measured
  Each node is a network namespace with a wire to one bridge. The wires have the same rate in both directions
  (tbf, burst 32 kB, 30 ms of queue). All is in memory and in namespaces of the benchmark's own: it touches
  neither the network nor the disks of this machine, and nothing of it is left, however it ends. What is sent
  cannot be compressed; it takes --seconds at the rate of the wires. nginx+curl and kadeploy-http send it to
  each node from the head: there it takes at most {plan.STAR_SECONDS:g} s for all nodes together.

  Agents on the nodes run before the clock does; it stops when the last node is done. For kadeploy it starts
  when the last relay listens (kadeploy-http: with the call), and stops with the last node's verdict; 'run s'
  is the whole call, with the start and the end of the relays. Every node's bytes are compared by SHA-256
  afterwards; kadeploy's relays do so on their own within the time measured, the other tools do not.

  All methods run with a high priority, so that what else runs here disturbs them little. Before each run the
  benchmark waits for a quiet half second, for --patience at most. A run in which the machine's processors
  were more than {MOST_BUSY:.0%} busy is listed, not counted, and repeated (--again): then they are
  measured, not the wires.

figures
  ratio      seconds / (bytes * 8 / rate); {plan.FLOOR:.3f} is what headers leave as the least
  /mbuffer   the ratio divided by mbuffer's of the same call
  busy       of all processors of the machine
  cpu s      of the head and all nodes; 'node s/GB' of one node per gigabyte that it received
  case       in the JSON: what was done to the nodes (--faults), or wires, sink and digest (--capacity)

rates
  --rate 0 takes the fastest of {", ".join(f"{rate // plan.MEGABIT}" for rate in plan.RATES)} Mbit/s with
  which nodes * rate is at most {plan.TOTAL_RATE // plan.MEGABIT} Mbit/s, which two processors can carry.

programs
  mbuffer, udpcast, uftp, aria2 with mktorrent and opentracker, taktuk with openssh-server, nginx-light with
  curl, zstd: packages of Debian. What is missing is named and left out; nothing is installed.

  The exit status is 1 where a method failed in all its runs; rejected ones have not failed.

examples
  benchmarks/run broadcast --quick
  benchmarks/run broadcast --nodes 4,16,64 --methods kadeploy,mbuffer --json broadcast.json
  benchmarks/run broadcast --faults --only 'three links' --runs 1
  benchmarks/run broadcast --capacity
"""


def add_options(parser: ArgumentParser) -> None:
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--faults", action="store_true", help="what dead and slow nodes cost the others, with kadeploy"
    )
    mode.add_argument(
        "--capacity", action="store_true", help="what a relay of kadeploy can do without limits of the wires"
    )
    known = ",".join(METHODS)
    parser.add_argument("--methods", type=words(list(METHODS)), metavar="A,B", help=f"some of {known}")
    parser.add_argument(
        "--nodes", type=counts(250), metavar="N,M", help="[default: 2,4,8,16,32,64; 16 with --faults]"
    )
    parser.add_argument(
        "--rate",
        type=number(0, 100_000),
        default=0,
        metavar="MBIT",
        help="of each wire, in Mbit/s [default: 0, which suits the number of nodes]",
    )
    parser.add_argument(
        "--loads",
        type=words(["file", "tree"]),
        default=["file"],
        metavar="A,B",
        help="file: stored as it is; tree: an archive through zstd and tar [default: file]",
    )
    parser.add_argument(
        "--seconds",
        type=number(0.01, 600),
        default=plan.LINE_SECONDS,
        help=f"line time of the file [default: {plan.LINE_SECONDS:g}]",
    )
    parser.add_argument("--runs", type=count(100), default=3, help="of each; medians are shown [default: 3]")
    parser.add_argument(
        "--only",
        default="",
        metavar="TEXT",
        help="with --faults: those with TEXT in their names, such as 'link', and the run without any",
    )
    parser.add_argument(
        "--patience",
        type=number(0, 600),
        default=20,
        metavar="SECONDS",
        help="to wait before each run for others to be quiet [default: 20]",
    )
    parser.add_argument(
        "--again",
        type=count(100, 0),
        default=AGAIN,
        help=f"times that a rejected run is repeated [default: {AGAIN}; 0 with --quick]",
    )
    parser.set_defaults(budget=1e9, compared=list(METHODS))


def mode_of(options: Namespace) -> str:
    """The mode of the measurement; raises UsageError where the options do not go together."""
    mode = "faults" if options.faults else "capacity" if options.capacity else "compare"
    if options.quick and mode != "compare":
        raise UsageError(f"--{mode} cannot be had with --quick")
    if mode != "compare" and set(options.methods or ()) - set(BROADCASTS):
        raise UsageError(f"--{mode}: --methods can only be of {','.join(BROADCASTS)}")
    if options.faults and min(options.nodes or [faults.LEAST_NODES]) < faults.LEAST_NODES:
        raise UsageError(f"--faults: --nodes must be at least {faults.LEAST_NODES}")
    return mode


def chosen_nodes(options: Namespace) -> list[int]:
    return list(options.nodes or (FAULTS_NODES if options.faults else NODES))


def chosen_methods(options: Namespace) -> list[str]:
    """Their names, whether they are installed or not."""
    if options.methods:
        return list(options.methods)
    return list(options.compared if mode_of(options) == "compare" else ["kadeploy"])
