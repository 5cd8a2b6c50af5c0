# SPDX-License-Identifier: Apache-2.0
"""The benchmark's own lab of one machine, and what /proc and its BMC tell of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from kadeploy.lab import processes, processors
from kadeploy.lab.machine import record_of

NAME = "b-overhead"
NODE = "node-1"
NAMESPACE = f"/run/netns/kalab-{NAME}"
BIN = Path(sys.executable).parent


@contextmanager
def lab(environment: Path) -> Iterator[Path]:
    """A lab with an environment recorded in it; its state directory. Gone in any case afterwards."""
    command("kalab", "up", "-n", "1", "--name", NAME)
    try:
        state = Path("/var/lib/kalab") / NAME
        os.environ["KADEPLOY_CONFIG_DIR"] = str(state / "config")
        _lengthen_timeouts(state / "config" / "lab.conf")
        command("kaenv", "-a", str(environment))
        yield state
    finally:
        command("kalab", "down", "--name", NAME)


def command(name: str, *arguments: str) -> None:
    """Run one of kadeploy's commands to its good end; its output goes where our progress goes."""
    subprocess.run([BIN / name, *arguments], stdout=sys.stderr, check=True)


def power_off() -> None:
    """Every run begins with a machine that is off: a new QEMU process for each."""
    command("kalab", "power", "--name", NAME, NODE, "off")


def inside(arguments: Sequence[str]) -> list[str]:
    """The command line that runs ``arguments`` in the lab's network."""
    return ["nsenter", f"--net={NAMESPACE}", *arguments]


def machine_seconds(state: Path) -> float:
    """Processor seconds that the machine's QEMU process has used since its start; 0 while it is off."""
    pid = processes.running(str(record_of(state / "nodes" / NODE)))
    return 0.0 if pid is None else processors.used([pid])


def _lengthen_timeouts(path: Path) -> None:
    """A busy host must not make kadeploy try again: that would measure another thing."""
    content = yaml.safe_load(path.read_text())
    content["timeouts"] = {"reboot": 600, "kexec": 600}
    for instances in content["automata"]["macrosteps"].values():
        for instance in instances:
            instance["timeout"] = 3600
    path.write_text(yaml.safe_dump(content, sort_keys=False))
