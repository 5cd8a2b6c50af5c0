# SPDX-License-Identifier: Apache-2.0
"""Broadcast by HTTP: every node fetches the image from this machine, with programs that any system has.

The nodes share the link of this machine, so the time grows with their number. A node needs no Python, but a
shell, curl or a wget, sha256sum, mkfifo and tee. The image is not encrypted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files

from kadeploy.broadcast.image import sha256_of, size_problem
from kadeploy.broadcast.integrity import compare
from kadeploy.broadcast.interface import (
    BroadcastProgress,
    Delivery,
    Early,
    Progress,
    RelayProcess,
    RelayResult,
    RelayTransport,
    Trouble,
    ignore,
)
from kadeploy.broadcast.pipeline import failure, shell_function, stages_of
from kadeploy.broadcast.server import ImageServer
from kadeploy.errors import NodeError, UnreachableError
from kadeploy.time_limit import time_limit

PREFIX = "pull: "
OUTPUT_LINES = 20  # lines kept of the output of a node


class HttpPullBroadcast:
    """``Broadcast`` by HTTP."""

    async def run(
        self, delivery: Delivery, transport: RelayTransport, progress: Progress, early: Early = ignore
    ) -> Mapping[str, RelayResult]:
        if problem := await asyncio.to_thread(size_problem, delivery.image):
            return dict.fromkeys(delivery.nodes, RelayResult(Trouble.IMAGE, problem))
        return await _PullSession(delivery, transport, progress, early).run()


class _PullSession:
    """Run of one broadcast over HTTP."""

    def __init__(
        self, delivery: Delivery, transport: RelayTransport, progress: Progress, early: Early
    ) -> None:
        self._delivery = delivery
        self._transport = transport
        self._progress = progress
        self._early = early
        self._nodes = delivery.nodes
        self._stages = stages_of(delivery.consumer)
        self._starts = asyncio.Semaphore(delivery.options.start_fanout)
        self._received = dict.fromkeys(self._nodes, 0)
        self._results: dict[str, RelayResult] = {}
        self._began = time.monotonic()
        self._image_problem = ""
        image = delivery.image
        self._server = ImageServer(image.readable, image.size, self._note, self._fail_image)

    async def run(self) -> Mapping[str, RelayResult]:
        """Serve all nodes until all have ended or the deadline is over."""
        await self._server.start(self._delivery.head_address, self._nodes)
        try:
            async with asyncio.TaskGroup() as group:
                digest = group.create_task(self._expected_digest())
                await self._fetch_all()
            return await self._judge(digest.result())
        finally:
            await self._server.stop()

    async def _fetch_all(self) -> None:
        deadline = self._delivery.options.deadline
        try:
            async with time_limit(deadline), asyncio.TaskGroup() as group:
                for node in self._nodes:
                    group.create_task(self._fetch(node))
        except TimeoutError:
            for node in self._nodes:
                self._set_result(node, RelayResult(Trouble.PEERS, f"not finished within {deadline:g} s"))

    async def _fetch(self, node: str) -> None:
        try:
            async with self._starts, time_limit(self._delivery.options.start_timeout):
                process = await self._transport.start(node, self._arguments(node))
        except TimeoutError:
            within = f"within {self._delivery.options.start_timeout:g} s"
            self._set_result(node, RelayResult(Trouble.PEERS, f"the download cannot be started {within}"))
        except (NodeError, OSError) as error:
            self._set_result(node, _result_of_error(error))
        else:
            await self._follow(node, process)

    def _arguments(self, node: str) -> list[str]:
        image, patience = self._delivery.image, self._delivery.options.patience
        text = shell_function(self._stages) + _script("pull")
        given = [self._server.url(node), str(image.size), f"{patience:.0f}"]
        words = [word for stage in self._stages for word in stage]
        return ["sh", "-c", _script("watch"), "watch", text, *given, *words]

    async def _follow(self, node: str, process: RelayProcess) -> None:
        """Read the output of a node to its end, and stop the program."""
        output: list[str] = []
        result, tool = None, ""
        try:
            while result is None and (line := await process.readline()):
                kind, _, text = line.decode(errors="replace").removeprefix(PREFIX).strip().partition(" ")
                if not line.startswith(PREFIX.encode()):
                    output = [*output[1 - OUTPUT_LINES :], f"{kind} {text}"]
                elif kind == "said":
                    output = [*output[1 - OUTPUT_LINES :], text]
                elif kind == "tool":
                    tool = text
                else:
                    result = self._parse_result(kind, text.split(), "\n".join(output), text)
        except (NodeError, OSError) as error:
            result = _result_of_error(error)
        finally:
            ending = await process.stop()
        lost = RelayResult(Trouble.PEERS, "the download ended", "\n".join([*output, ending]))
        result = replace(result or lost, notes=(f"fetched by {tool}",) if tool else ())
        self._set_result(node, result)
        if result.ok and result.sha256 == self._delivery.image.sha256.lower():
            await self._early({node: self._results[node]})

    def _parse_result(self, kind: str, words: list[str], evidence: str, text: str) -> RelayResult:
        """Parse a node's last line: ``failed REASON``, or ``ended BYTES SHA256 STATUS…``."""
        if kind == "failed":
            return RelayResult(Trouble.PEERS, text)
        try:
            received, digest, *statuses = int(words[0]), words[1], *map(int, words[2:])
        except (ValueError, IndexError):
            return RelayResult(Trouble.PEERS, "the download reported nonsense", text)
        size = self._delivery.image.size
        known = RelayResult(evidence=evidence, received=received)
        if reason := failure(self._stages, statuses) or ("" if len(statuses) == len(self._stages) else "?"):
            known = replace(known, trouble=Trouble.CONSUMER, reason=reason)
        elif received < size:
            reason = f"the download ended after {received} of {size} bytes"
            return replace(known, trouble=Trouble.PEERS, reason=reason)
        return replace(known, sha256=digest if received == size else "")

    def _note(self, node: str, offset: int) -> None:
        """Report the bytes that the server has sent: each is on its way through the node's pipeline."""
        self._received[node] = offset
        self._progress(BroadcastProgress(node, offset, offset, self._delivery.image.size))

    def _fail_image(self, reason: str) -> None:
        self._image_problem = self._image_problem or reason

    def _set_result(self, node: str, result: RelayResult) -> None:
        """Set the result of a node, unless it has one."""
        seconds = time.monotonic() - self._began
        received = result.received or self._received[node]
        self._results.setdefault(node, replace(result, seconds=seconds, received=received))

    async def _expected_digest(self) -> str:
        """Digest that the nodes must find; '' where the file cannot be read to its end."""
        try:
            return self._delivery.image.sha256.lower() or await sha256_of(self._delivery.image.readable)
        except OSError as error:
            self._fail_image(f"the image cannot be read: {error.strerror}")
            return ""

    async def _judge(self, expected: str) -> Mapping[str, RelayResult]:
        """Compare the digests; where one is wrong, check whether the file itself is to blame."""
        results = {node: compare(self._results[node], expected) for node in self._nodes}
        declared = self._delivery.image.sha256
        if declared and any(result.trouble is Trouble.DATA for result in results.values()):
            try:
                if (actual := await sha256_of(self._delivery.image.readable)) != expected:
                    self._fail_image(f"the image's SHA-256 is {actual}, the environment declares {expected}")
            except OSError as error:
                self._fail_image(f"the image cannot be read: {error.strerror}")
        if not self._image_problem:
            return results
        problem = self._image_problem
        return {n: replace(r, trouble=Trouble.IMAGE, reason=problem) for n, r in results.items()}


def _result_of_error(error: NodeError | OSError) -> RelayResult:
    if isinstance(error, OSError):
        return RelayResult(Trouble.PEERS, f"the download cannot be started: {error}")
    trouble = Trouble.NODE if isinstance(error, UnreachableError) else Trouble.PEERS
    return RelayResult(trouble, error.message, error.evidence)


@cache
def _script(name: str) -> str:
    return files("kadeploy.broadcast").joinpath(f"scripts/{name}.sh").read_text("utf-8")
