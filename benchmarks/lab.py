# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' own lab of container nodes, with fleet-min recorded in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
DEPLOY_ENV = CHECKOUT / "build" / "deploy-env"
DESCRIPTION = CHECKOUT / "build" / "environments" / "fleet-min.yaml"
IMAGE = DESCRIPTION.with_suffix(".tar.zst")


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """What all fleets have in common; every boot of every node takes ``boot_delay`` seconds, no chance in it.

    ``rate``: of each link in both directions as ``kalab up --rate`` has it, '' for no limit. ``disk``: size.
    """

    boot_delay: float
    rate: str
    disk: str

    @property
    def arguments(self) -> list[str]:
        """Options of ``kalab up``."""
        delay = ["--boot-delay", f"{self.boot_delay:g}", "--boot-spread", "0"]
        rate = ["--rate", self.rate] if self.rate else []
        return ["--driver", "container", *delay, "--disk", self.disk, *rate]


@contextmanager
def fleet(name: str, count: int, options: FleetOptions) -> Iterator[Path]:
    """A lab whose nodes are off; its state directory. Gone in any case afterwards."""
    state = Path("/var/lib/kalab") / name
    places = ["--name", name, "--nodes", str(count), "--deploy-env", str(DEPLOY_ENV)]
    try:
        command("kalab", "up", *places, *options.arguments)
        os.environ["KADEPLOY_CONFIG_DIR"] = str(state / "config")
        command("kaenv", "-a", str(DESCRIPTION))
        yield state
    finally:
        command("kalab", "down", "--name", name)


def command(name: str, *arguments: str) -> None:
    """Run one of kadeploy's commands to its good end; its output goes where our progress goes."""
    subprocess.run([BIN / name, *arguments], stdout=sys.stderr, check=True)


def make_key(directory: Path) -> Path:
    """A key for the user; the path of its public half."""
    key = directory / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    return key.with_suffix(".pub")


def read_ahead() -> None:
    """All deployments shall find the files in memory."""
    for path in (DEPLOY_ENV / "vmlinuz", DEPLOY_ENV / "initrd", IMAGE):
        path.read_bytes()


def missing() -> list[str]:
    """What has not been built yet."""
    needed = (DEPLOY_ENV / "vmlinuz", DEPLOY_ENV / "initrd", DESCRIPTION, IMAGE)
    return [str(path) for path in needed if not path.exists()]
