# SPDX-License-Identifier: Apache-2.0
"""The campaign's own lab of container nodes, and the deployments on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from benchmarks.faults.judgement import Ending, Lot, Run
from kadeploy import nodes

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = CHECKOUT / ".venv" / "bin"
ENVIRONMENT = CHECKOUT / "build" / "environments" / "fleet-min.yaml"
PLAN = Path(__file__).with_name("plan.yaml")
READY = "End of deployment for "
IS_UP = "fleet-min: "  # on the console of a node whose deployed system is up
BOOT = ("--boot-delay", "5", "--boot-spread", "1")
PATIENCE = 1200.0  # seconds until a deployment counts as one that hangs


class RunFailed(Exception):
    """There is nothing to judge."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """A lab that is up; ``state`` is its directory, ``logs`` where logs and results of kadeploy go."""

    name: str
    count: int
    state: Path
    logs: Path

    @property
    def names(self) -> list[str]:
        return [f"node-{number}" for number in range(1, self.count + 1)]

    def mend(self) -> None:
        """All nodes are sound again, from their next boots on."""
        command("kalab", "fault", "--name", self.name, "--mend")

    def break_nodes(self, share: float, seed: int) -> list[Lot]:
        """Deal the faults of the plan to this share of the nodes."""
        content = yaml.safe_load(PLAN.read_text())
        content["random"]["share"] = share
        plan = self.state / "faults.yaml"
        plan.write_text(yaml.safe_dump(content))
        options = ("--name", self.name, "--plan", str(plan), "--seed", str(seed), "--json")
        return [Lot(**entry) for entry in json.loads(command("kalab", "fault", *options))]

    def deploy(self, title: str) -> Run:
        """Deploy on all nodes; when each was ready, and what was said of it."""
        before = {name: self._console(name).stat().st_size for name in self.names}
        argv = [BIN / "kadeploy", "-e", "fleet-min", "-m", nodes.fold(self.names), "-V", "5", "--json"]
        with (self.logs / f"{title}.json").open("w+b") as output:
            began = time.monotonic()
            ready, log = _follow(argv, output)
            seconds = time.monotonic() - began
            output.seek(0)
            text = output.read()
        (self.logs / f"{title}.log").write_text(log)
        if not text:
            raise RunFailed(f"kadeploy has no result; its log ends:\n{log[-2000:]}")
        endings = [self._ending(entry, ready, before) for entry in json.loads(text)["nodes"]]
        return Run(title, seconds, {ending.node: ending for ending in endings})

    def _ending(self, entry: dict[str, Any], ready: dict[str, float], before: dict[str, int]) -> Ending:
        name = entry["node"]
        with self._console(name).open("rb") as record:
            record.seek(before[name])
            shown = record.read().decode(errors="replace")
        return Ending(
            node=name,
            phase=entry["phase"],
            cause=entry["cause"],
            reason=f"{entry['step']}: {entry['reason']}",
            evidence=entry["evidence"],
            ready=ready.get(name),
            is_up=IS_UP in shown,
        )

    def _console(self, name: str) -> Path:
        return self.state / "nodes" / name / "console.log"


@contextmanager
def fleet(name: str, count: int, logs: Path | None) -> Iterator[Fleet]:
    """A lab with an environment recorded in it; gone in any case afterwards."""
    up = ("-n", str(count), "--name", name, "--driver", "container", "--disk", "1GiB", *BOOT)
    command("kalab", "up", *up)
    try:
        state = Path("/var/lib/kalab") / name
        os.environ["KADEPLOY_CONFIG_DIR"] = str(state / "config")
        _configure(state / "config" / "lab.conf", count)
        command("kaenv", "-a", str(ENVIRONMENT))
        yield Fleet(name, count, state, logs or state)
    finally:
        command("kalab", "down", "--name", name)


def _configure(path: Path, count: int) -> None:
    """Fewer attempts, so that the campaign ends soon, and no allowances for emulated machines."""
    content = yaml.safe_load(path.read_text())
    content["timeouts"] = {"reboot": 40 + count // 4, "kexec": 40 + count // 4}
    for name, instances in content["automata"]["macrosteps"].items():
        for instance in instances:
            instance["retries"] = 0 if name == "BootNewEnv" else 1
    for key in ("gather", "broadcast"):
        del content[key]  # the defaults
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def command(name: str, *arguments: str) -> str:
    """Run one of the project's commands to its good end; its standard output."""
    done = subprocess.run([BIN / name, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RunFailed(f"{name} {' '.join(arguments)} exited with {done.returncode}")
    return done.stdout


def _follow(argv: Sequence[str | Path], output: IO[bytes]) -> tuple[dict[str, float], str]:
    """When each node was ready, in seconds since the command was started, and the log with its times."""
    ready: dict[str, float] = {}
    lines = []
    began = time.monotonic()
    process = subprocess.Popen(
        ["timeout", "--signal=INT", "--kill-after=30", str(PATIENCE), *argv],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(f"{time.monotonic() - began:8.2f} {line}")
            if line.startswith(READY):
                for name in nodes.parse(line.removeprefix(READY).split()[0]):
                    ready[name] = time.monotonic() - began
        process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    return ready, "".join(lines)


def say(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr, flush=True)
