# SPDX-License-Identifier: Apache-2.0
"""The time that kadeploy itself adds: one QEMU node deployed by kadeploy and by a script of plain tools.

Needs root, and what bin/demo builds. Takes two to four minutes for each repetition on two idle processors.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.overhead import files, lab, report, run

CHECKOUT = Path(__file__).resolve().parents[2]

ENVIRONMENT = CHECKOUT / "build" / "environments" / "debian12-min.yaml"
ATTEMPTS = 2  # of one run: a host that is too busy may make one fail


def measure(repeat: int, work: Path) -> report.Figures:
    """Deploy ``repeat`` times each way; the other one begins every second time."""
    key = work / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public, load = key.with_suffix(".pub"), []
    runs: dict[str, list[run.Run]] = {"kadeploy": [], "by hand": []}
    with lab.lab(ENVIRONMENT) as state:
        inputs = files.write_inputs("debian12-min", lab.NODE, public, work)
        read_ahead()
        for repetition in range(repeat):
            for side in sorted(runs, reverse=repetition % 2 == 0):
                load.append(os.getloadavg()[0])
                runs[side].append(one(side, state, public, inputs, work))
                say(f"{side}: {runs[side][-1].total:.1f} s (load before it: {load[-1]:.1f})")
    return report.figures(runs["kadeploy"], runs["by hand"], load)


def one(side: str, state: Path, key: Path, inputs: Path, work: Path) -> run.Run:
    """One run, from a machine that is off."""
    for attempt in range(ATTEMPTS):
        lab.power_off()
        try:
            if side == "kadeploy":
                return run.by_kadeploy(state, key, work)
            files.renew_profile(inputs)
            return run.by_hand(state, inputs, work)
        except run.RunFailed as error:
            say(f"{side}: {error}")
            if attempt + 1 == ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def read_ahead() -> None:
    """Both shall find the files in memory."""
    for folder in ("deploy-env", "environments"):
        for path in (CHECKOUT / "build" / folder).iterdir():
            path.read_bytes()


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there, too")
    parser.add_argument("--repeat", type=int, default=2, help="deployments each way [default: 2]")
    arguments = parser.parse_args()
    if arguments.repeat < 1:
        parser.error("--repeat: at least 1")
    if os.geteuid() != 0:
        parser.exit(3, "a lab needs root\n")
    os.chdir(CHECKOUT)
    with tempfile.TemporaryDirectory(prefix="overhead-") as work:
        result = measure(arguments.repeat, Path(work))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(report.lines(result)))
    return 0
