# SPDX-License-Identifier: Apache-2.0
"""The broadcast by a command of the site, run on this machine (Kadeploy3: localops.broadcastenv).

These words in its arguments are replaced:

    ENVFILE       path of the image
    NODEFILE      file with the names of the nodes, one a line
    ADDRESSFILE   file with their addresses, in the same order
    HOSTKEYFILE   known_hosts for both, of the system that runs on the nodes now
    DECOMPRESS    shell command that takes the image on a node; it fails where the digest is wrong
    OKFILE        file into which the command may write the names of the nodes that have the image
    KOFILE        file for the names of the others

Where the command exits with 0, nodes are ok unless they are in KOFILE; otherwise they are not unless they are
in OKFILE. That the digest is compared is up to DECOMPRESS: this machine sees nothing of what arrives.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from kadeploy.broadcast.image import sha256_of, size_problem
from kadeploy.broadcast.integrity import digest_problem, fail_for_image
from kadeploy.broadcast.interface import (
    Delivery,
    Early,
    Progress,
    RelayResult,
    RelayTransport,
    Trouble,
    ignore,
)
from kadeploy.broadcast.pipeline import shell_function, stages_of
from kadeploy.errors import ServiceError
from kadeploy.local.ending import describe_ending
from kadeploy.local.program import Completed, run

COMMAND_TIMEOUT = 24 * 3600.0  # seconds; the deadline of the step comes before
MAX_REPORT = 4 << 20  # bytes that are read of OKFILE and KOFILE

_TAKE_SCRIPT = files("kadeploy.broadcast").joinpath("scripts/take.sh")


class CustomBroadcast:
    """``Broadcast`` by a command, run in ``directory``; ``words`` are replaced in it, too.

    ``host_keys`` maps nodes to their public key lines; those of unknown keys are not in HOSTKEYFILE.
    """

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        words: Mapping[str, str] | None = None,
        host_keys: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._command = list(command)
        self._directory = directory
        self._words = dict(words or {})
        self._host_keys = host_keys

    async def run(
        self, delivery: Delivery, transport: RelayTransport, progress: Progress, early: Early = ignore
    ) -> Mapping[str, RelayResult]:
        if problem := await asyncio.to_thread(size_problem, delivery.image):
            return dict.fromkeys(delivery.nodes, RelayResult(Trouble.IMAGE, problem))
        began = time.monotonic()
        digest = delivery.image.sha256.lower() or await sha256_of(delivery.image.path)
        with tempfile.TemporaryDirectory(prefix="kadeploy-broadcast-") as folder:
            words = (
                self._words
                | _write_files(delivery, self._host_keys, Path(folder))
                | {"DECOMPRESS": receive_command(delivery, digest)}
            )
            ending = await self._execute(replace_words(self._command, words))
            good, bad = (_names(Path(words[word])) for word in ("OKFILE", "KOFILE"))
        judge = partial(self._judge, ending=ending, good=good, bad=bad, size=delivery.image.size)
        seconds = time.monotonic() - began
        results = {node: judge(node, seconds=seconds) for node in delivery.nodes}
        failed = {node: result for node, result in results.items() if not result.ok}
        problem = await _changed(delivery, digest) if failed else ""
        return {**results, **fail_for_image(failed, problem)} if problem else results

    async def _execute(self, argv: list[str]) -> Completed:
        try:
            return await run(argv, timeout=COMMAND_TIMEOUT, directory=self._directory)
        except OSError as error:
            hint = "look at localops.broadcastenv.cmd in the cluster's file"
            raise ServiceError(f"'{argv[0]}' cannot be executed: {error.strerror}", hint=hint) from error

    def _judge(
        self, node: str, *, ending: Completed, good: set[str], bad: set[str], size: int, seconds: float
    ) -> RelayResult:
        if node not in bad and (node in good or ending.status == 0):
            return RelayResult(received=size, seconds=seconds)
        how = "reports it as failed" if ending.status == 0 else describe_ending(ending.status)
        return RelayResult(Trouble.PEERS, f"{self._command[0]} {how}", ending.evidence, seconds=seconds)


async def _changed(delivery: Delivery, digest: str) -> str:
    """Problem of an image that is not what it was declared to be, '' for none: a command cannot tell."""
    image = replace(delivery.image, opened=None)  # the command opens it by its name
    problem = await asyncio.to_thread(size_problem, image)
    try:
        return problem or digest_problem(digest, await sha256_of(image.path))
    except OSError as error:
        return f"the image {image.path} cannot be read: {error.strerror}"


def replace_words(command: Sequence[str], words: Mapping[str, str]) -> list[str]:
    """Arguments with their words replaced. A value never becomes more than a part of one argument."""
    pattern = re.compile(rf"(?<![A-Za-z0-9_])(?:{'|'.join(words)})(?![A-Za-z0-9_])")
    return [pattern.sub(lambda match: words[match[0]], argument) for argument in command]


def receive_command(delivery: Delivery, digest: str) -> str:
    """Shell command that takes the image on a node from its standard input, and compares the digest."""
    stages = stages_of(delivery.consumer)
    text = shell_function(stages) + _TAKE_SCRIPT.read_text("utf-8")
    return shlex.join(["sh", "-c", text, "take", digest, *(word for stage in stages for word in stage)])


def _write_files(delivery: Delivery, host_keys: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Write the files of a broadcast; returns their paths by word."""
    lines = {
        "NODEFILE": delivery.nodes,
        "ADDRESSFILE": [recipient.address for recipient in delivery.recipients],
        "HOSTKEYFILE": [
            f"{recipient.node},{recipient.address} {key}"
            for recipient in delivery.recipients
            if (key := host_keys.get(recipient.node))
        ],
        "OKFILE": [],
        "KOFILE": [],
    }
    for name, content in lines.items():
        (folder / name).write_text("".join(f"{line}\n" for line in content))
    return {"ENVFILE": str(delivery.image.path), **{name: str(folder / name) for name in lines}}


def _names(path: Path) -> set[str]:
    """Read the first word of each line; none where the command has removed the file."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_REPORT).decode(errors="replace")
    except FileNotFoundError:
        return set()
    return {line.split()[0] for line in text.splitlines() if line.strip()}
