# SPDX-License-Identifier: Apache-2.0
"""The time that one command on many nodes takes: kadeploy's connections, clush, pdsh, taktuk, parallel-ssh.

The nodes are sshds of OpenSSH in a private network of this machine. Needs root and openssh-server; gets the
other tools by apt and pip where they are missing, and leaves out what it cannot get.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.control_plane import report, tools
from benchmarks.control_plane.fleet import SSHD
from benchmarks.control_plane.measure import Sample

CHECKOUT = Path(__file__).resolve().parents[2]

SERIES = "benchmarks.control_plane.series"
PARALLEL_SSH = CHECKOUT / "build" / "benchmarks" / "parallel-ssh" / "bin" / "python"
QUICK_BUDGET = 120.0  # seconds after which --quick begins no repetition
# Network, mounts and processes of its own, which die with us, however we die.
NAMESPACES = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--mount-proc"]


def measure(nodes: list[int], repeat: int, budget: float) -> list[Sample]:
    """Run everything in namespaces of its own; says what each run took."""
    orders = {"nodes": nodes, "repeat": repeat, "budget": budget, "parallel_ssh": str(PARALLEL_SSH)}
    samples = []
    # Not in a TMPDIR with a long name: there is a limit to the path of a master connection's socket.
    with tempfile.TemporaryDirectory(prefix="control-plane-", dir="/run") as folder:
        Path(folder).chmod(0o755)
        command = [*NAMESPACES, "--fork", "--kill-child", sys.executable, "-m", SERIES, folder]
        environment = {**os.environ, "HOME": f"{folder}/home"}
        environment.pop("SSH_AUTH_SOCK", None)
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
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
    kind = "warm" if sample.warm else "cold"
    milliseconds = 1000 * sample.processor / sample.nodes
    say(
        f"{sample.nodes:>4} nodes, {sample.method} {kind}: {sample.seconds:.2f} s, {milliseconds:.1f} ms/node"
    )


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def numbers(text: str) -> list[int]:
    """The argument of --nodes."""
    values = [int(word) for word in text.split(",")]
    if not all(1 <= value <= 1000 for value in values):
        raise ValueError
    return values


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there, too")
    parser.add_argument("--nodes", type=numbers, default=[10, 50, 100, 200], help="[default: 10,50,100,200]")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each kind [default: 5]")
    parser.add_argument("--quick", action="store_true", help="end within 5 minutes, with fewer repetitions")
    parser.add_argument("--no-install", action="store_true", help="leave out the tools that are missing")
    arguments = parser.parse_args()
    if arguments.repeat < 1:
        parser.error("--repeat: at least 1")
    if os.geteuid() != 0 or SSHD is None:
        parser.exit(3, "this needs root and openssh-server\n")
    Path("/run/sshd").mkdir(exist_ok=True)
    if not arguments.no_install:
        tools.install_commands(say)
        tools.install_parallel_ssh(PARALLEL_SSH, say)
    load = [os.getloadavg()[0]]
    samples = measure(arguments.nodes, arguments.repeat, QUICK_BUDGET if arguments.quick else float("inf"))
    result = report.figures(samples, [*load, os.getloadavg()[0]])
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(report.lines(result)))
    return 0
