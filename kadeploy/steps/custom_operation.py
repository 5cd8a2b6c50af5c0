# SPDX-License-Identifier: Apache-2.0
"""Custom operations on a node in the miniOS: a user's command, a file sent to it, a script run there."""

from __future__ import annotations

import hashlib
import json
import posixpath
import shlex
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from kadeploy.config.custom_operations import VARIABLE
from kadeploy.config.expression import MAX_SECONDS
from kadeploy.disks import tree_program
from kadeploy.errors import NodeError
from kadeploy.local.ending import add_last_line
from kadeploy.remote.command import Result
from kadeploy.steps.image_tree import MINIOS_ROOT
from kadeploy.steps.minios import check_boot
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.partitions import update_partitions
from kadeploy.steps.workbench import DeploymentWorkbench

OPERATION_TIMEOUT = 600.0  # seconds of an attempt, where the file gives no timeout
MAX_SHOWN = 120  # characters of a command in messages


@dataclass(frozen=True, slots=True)
class File:
    """File as it was read when the deployment was planned; ``mode`` are its permissions."""

    name: str
    content: bytes
    mode: int

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class CustomOperation(ABC):
    """Operation of the user or the administrator as a micro-step, whose deadline it has."""

    __slots__ = ()

    async def __call__(self, workbench: DeploymentWorkbench, run: NodeRun) -> None:
        """Run the operation on a node; raises NodeError with its exit status and its last lines."""
        await check_boot(workbench, run)
        # Nobody knows what it does to the disk, so from here on the node is not what it was.
        await workbench.remember(run.node, erased=True)
        run.observed = f"{self.summary} had not ended"
        await self.carry_out(workbench, run)

    @abstractmethod
    async def carry_out(self, workbench: DeploymentWorkbench, run: NodeRun) -> None: ...

    @property
    @abstractmethod
    def summary(self) -> str:
        """One line for messages and plans."""

    @property
    @abstractmethod
    def facts(self) -> Sequence[object]:
        """Facts on which its effect depends, as JSON values."""

    @property
    def digest(self) -> str:
        """Digest, equal for operations that do the same."""
        return hashlib.sha256(json.dumps(self.facts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Execute(CustomOperation):
    """Operation ``exec``: a shell command of the user's, as it is written."""

    command: str

    async def carry_out(self, workbench: DeploymentWorkbench, run: NodeRun) -> None:
        result = await workbench.remote.run(
            run.node.name,
            ["sh", "-c", self.command],  # a user's own shell text; nothing else becomes part of it
            env=workbench.facts.variables(run.node),
            timeout=MAX_SECONDS,
            check=False,
        )
        _check(self.summary, result)
        await update_partitions(workbench, run)

    @property
    def summary(self) -> str:
        return _shortened(self.command)

    @property
    def facts(self) -> Sequence[object]:
        return "exec", self.command


@dataclass(frozen=True, slots=True)
class Send(CustomOperation):
    """Operation ``send``: put a file into a directory of the node, under its own name."""

    file: File
    destination: str

    async def carry_out(self, workbench: DeploymentWorkbench, run: NodeRun) -> None:
        root = posixpath.normpath(workbench.facts.extraction_dir)
        destination = substitute(self.destination, workbench.facts.variables(run.node))
        directory = posixpath.normpath(f"/{destination.lstrip('/')}")
        if f"{directory}/".startswith(f"{root}/"):
            directory = directory.removeprefix(root) or "/"
        else:
            root = MINIOS_ROOT
        content, mode = self.file.content, f"{self.file.mode:o}"
        result = await workbench.remote.run(
            run.node.name,
            tree_program.command(root, "received_file", directory, self.file.name, mode, str(len(content))),
            input=content,
            timeout=MAX_SECONDS,
            check=False,
        )
        _check(self.summary, result)

    @property
    def summary(self) -> str:
        return f"send {self.file.name} to {self.destination}"

    @property
    def facts(self) -> Sequence[object]:
        return "send", self.file.name, self.file.sha256, self.file.mode, self.destination


@dataclass(frozen=True, slots=True)
class RunScript(CustomOperation):
    """Operation ``run``: copy a script to the node, execute it there, remove it."""

    file: File
    params: str

    async def carry_out(self, workbench: DeploymentWorkbench, run: NodeRun) -> None:
        variables = workbench.facts.variables(run.node)
        result = await workbench.remote.run_script(
            run.node.name,
            self.file.content,
            [substitute(word, variables) for word in shlex.split(self.params)],
            env=variables,
            timeout=MAX_SECONDS,
            check=False,
        )
        _check(self.summary, result)
        await update_partitions(workbench, run)

    @property
    def summary(self) -> str:
        return _shortened(f"{self.file.name} {self.params}".rstrip())

    @property
    def facts(self) -> Sequence[object]:
        return "run", self.file.name, self.file.sha256, self.params


def destination_problem(path: str) -> str:
    """Problem of a directory of a node as a destination of files; '' if there is none."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not path.startswith("/") or ".." in parts:
        return "is not an absolute path without '..'"
    if parts[:1] in (["dev"], ["proc"], ["sys"]):
        return "is no directory for files"
    return ""


def substitute(text: str, variables: dict[str, str]) -> str:
    """Replace variables by their values; raises KeyError with the name of an unknown one."""
    return VARIABLE.sub(lambda match: variables[match["name"] or match["braced"]], text)


def _check(summary: str, result: Result) -> None:
    if result.status == 0:
        return
    ending = add_last_line(result.ending, result.output)
    raise NodeError(f"'{summary}': {ending}", evidence=result.evidence)


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_SHOWN else line[: MAX_SHOWN - 1] + "…"
