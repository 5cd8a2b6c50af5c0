# SPDX-License-Identifier: Apache-2.0
"""A lab as its user has it: by the commands of this checkout, with environments recorded and a key."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.benchmark import CHECKOUT, MeasurementError
from kadeploy.errors import NotFoundError
from kadeploy.lab import cluster
from kadeploy.lab.plan import LabPlan
from kadeploy.store import statistics
from kadeploy.store.filter import Filter
from kadeploy.store.store import Store

PROGRAMS = CHECKOUT / ".venv" / "bin"
DEPLOY_ENV = CHECKOUT / "build" / "deploy-env"
BOOT_FILES = (DEPLOY_ENV / "vmlinuz", DEPLOY_ENV / "initrd")
DEBIAN = CHECKOUT / "build" / "environments" / "debian12-min.yaml"
FLEET = DEBIAN.with_name("fleet-min.yaml")
UP_SECONDS = 600.0  # for a lab of 200 nodes on busy processors


class CommandFailed(MeasurementError):
    """A command of the project ended badly."""


@dataclass
class Lab:
    """A lab of this name; ``directory`` is the user's, in which his key will be.

    ``environments``: descriptions that are recorded when the lab is up.
    """

    name: str
    directory: Path
    environments: Sequence[Path] = (FLEET,)

    @property
    def plan(self) -> LabPlan:
        """The plan of the lab; raises NotFoundError while it is not up."""
        return cluster.find(self.name)

    @property
    def key(self) -> Path:
        """The public half of the user's key."""
        return self.directory / "key.pub"

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process whose kadeploy is that of the lab."""
        return {**os.environ, "KADEPLOY_CONFIG_DIR": str(self.plan.config)}

    def up(self, count: int, *options: str) -> None:
        """Bring it up, with the environments recorded and a key for the user."""
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key.with_suffix(""))]
        subprocess.run(key, check=True)
        size = ["--nodes", str(count), "--deploy-env", str(DEPLOY_ENV)]
        self.kalab("up", *size, *options, seconds=UP_SECONDS)
        for description in self.environments:
            self.command("kaenv", "-a", str(description))

    def down(self) -> None:
        """Take it away, or what there is of it."""
        self.kalab("down", seconds=UP_SECONDS)

    @contextmanager
    def running(self, count: int, *options: str) -> Iterator[None]:
        """The lab is up meanwhile, and gone afterwards in any case."""
        try:
            self.up(count, *options)
            yield
        finally:
            self.down()

    def command(self, program: str, *arguments: str, seconds: float = 60) -> str:
        """Run a command in the lab's configuration; its standard output. Raises CommandFailed."""
        return _run([str(PROGRAMS / program), *arguments], self.environment, seconds)

    def kalab(self, verb: str, *arguments: str, seconds: float = 60) -> str:
        """Run a command of kalab on this lab; its standard output. Raises CommandFailed."""
        return _run([str(PROGRAMS / "kalab"), verb, "--name", self.name, *arguments], None, seconds)

    def change_cluster(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Let the content of the cluster's file be changed."""
        path = self.plan.cluster_file
        content = yaml.safe_load(path.read_text())
        change(content)
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def steps(self, workflow: str) -> list[statistics.StepRun]:
        """All that a workflow has done, in the order of the starts."""

        async def read() -> list[statistics.StepRun]:
            async with Store.open(self.plan.store) as store:
                return await statistics.list_steps(store, Filter(workflow_id=workflow))

        return asyncio.run(read())


def containers(boot_delay: float, disk: str, *, boot_spread: float = 0, rate: str = "") -> list[str]:
    """Options of ``kalab up`` for container nodes, all boots of which take as long where nothing is spread.

    ``boot_delay``, ``boot_spread``: seconds; ``rate``: of each link in both directions, '' for no limit.
    """
    delays = ["--boot-delay", f"{boot_delay:g}", "--boot-spread", f"{boot_spread:g}"]
    return ["--driver", "container", "--disk", disk, *delays, *(["--rate", rate] if rate else [])]


def check_built(*descriptions: Path) -> None:
    """Raises NotFoundError where the miniOS or an environment has not been built yet."""
    images = [description.with_suffix(".tar.zst") for description in descriptions]
    missing = [str(path) for path in (*BOOT_FILES, *descriptions, *images) if not path.exists()]
    if missing:
        builders = [f"bin/build-environment {description.stem}" for description in descriptions]
        hint = f"bin/build-deploy-env and {' and '.join(builders)} make them"
        raise NotFoundError(f"{', '.join(missing)} missing", hint=hint)


def read_ahead(*descriptions: Path) -> None:
    """Bring miniOS and images into memory, where all deployments shall find them."""
    for path in (*BOOT_FILES, *(description.with_suffix(".tar.zst") for description in descriptions)):
        path.read_bytes()


def _run(argv: Sequence[str], environment: dict[str, str] | None, seconds: float) -> str:
    try:
        done = subprocess.run(
            argv, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"'{shlex.join(argv)}' was not over after {seconds:g} s") from None
    if done.returncode != 0:
        said = f"{done.stdout}{done.stderr}".strip()
        raise CommandFailed(f"'{shlex.join(argv)}' ended with status {done.returncode}: {said}")
    return done.stdout
