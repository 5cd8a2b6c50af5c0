# SPDX-License-Identifier: Apache-2.0
"""The campaign's own lab of container nodes, and the deployments on it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import yaml

from benchmarks.benchmark import MeasurementError
from benchmarks.faults.judgement import BrokenNode, Ending, Run
from benchmarks.lab import PROGRAMS, Lab, containers
from kadeploy import nodes
from kadeploy.lab.plan import LabPlan

READY = "End of deployment for "
IS_UP = "fleet-min: "  # on the console of a node whose deployed system is up
SPREAD = 1.0  # seconds that boots take more or less, where they take as long
PATIENCE = 1200.0  # seconds until a deployment counts as one that hangs


@dataclass(frozen=True, slots=True)
class Fleet:
    """A lab that is up; ``logs``: where logs and results of kadeploy go."""

    lab: Lab
    plan: LabPlan
    logs: Path

    @property
    def names(self) -> list[str]:
        return [node.name for node in self.plan.nodes]

    def mend(self) -> None:
        """All nodes are sound again, from their next boots on."""
        self.lab.kalab("fault", "--mend")

    def break_nodes(self, plan: Path, share: float, seed: int) -> list[BrokenNode]:
        """Deal the faults of a plan to this share of the nodes."""
        content = yaml.safe_load(plan.read_text())
        content["random"]["share"] = share
        dealt = self.lab.directory / "faults.yaml"
        dealt.write_text(yaml.safe_dump(content))
        told = self.lab.kalab("fault", "--plan", str(dealt), "--seed", str(seed), "--json")
        return [BrokenNode(**entry) for entry in json.loads(told)]

    def deploy(self, title: str) -> Run:
        """Deploy on all nodes; when each was ready, and what was said of it."""
        before = {node.name: node.console.stat().st_size for node in self.plan.nodes}
        argv: list[str | Path] = [PROGRAMS / "kadeploy", "-e", "fleet-min", "-m", nodes.fold(self.names)]
        argv += ["-V", "5", "--json"]
        with (self.logs / f"{title}.json").open("w+b") as output:
            began = time.monotonic()
            ready, log = _follow(argv, self.lab.environment, output)
            seconds = time.monotonic() - began
            output.seek(0)
            text = output.read()
        (self.logs / f"{title}.log").write_text(log)
        if not text:
            raise MeasurementError(f"kadeploy has no result; its log ends:\n{log[-2000:]}")
        endings = [self._ending(entry, ready, before) for entry in json.loads(text)["nodes"]]
        return Run(title, seconds, {ending.node: ending for ending in endings})

    def _ending(self, entry: dict[str, Any], ready: dict[str, float], before: dict[str, int]) -> Ending:
        name = entry["node"]
        with self.plan.node(name).console.open("rb") as record:
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


@contextmanager
def fleet(lab: Lab, count: int, boot_delay: float, logs: Path | None) -> Iterator[Fleet]:
    """A fleet of so many container nodes; gone in any case afterwards."""
    with lab.running(count, *containers(boot_delay, "1GiB", boot_spread=min(SPREAD, boot_delay))):
        lab.change_cluster(partial(_be_quick, count))
        yield Fleet(lab, lab.plan, logs or lab.directory)


def _be_quick(count: int, cluster: dict[str, Any]) -> None:
    """Fewer attempts, so that the campaign ends soon, and no allowances for emulated machines."""
    cluster["timeouts"] = {"reboot": 40 + count // 4, "kexec": 40 + count // 4}
    for name, instances in cluster["automata"]["macrosteps"].items():
        for instance in instances:
            instance["retries"] = 0 if name == "BootNewEnv" else 1
    for key in ("gather", "broadcast"):
        del cluster[key]  # the defaults


def _follow(
    argv: Sequence[str | Path], environment: dict[str, str], output: IO[bytes]
) -> tuple[dict[str, float], str]:
    """When each node was ready, in seconds since the command was started, and the log with its times."""
    ready: dict[str, float] = {}
    lines = []
    began = time.monotonic()
    process = subprocess.Popen(
        ["timeout", "--signal=INT", "--kill-after=30", str(PATIENCE), *argv],
        env=environment,
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
