# SPDX-License-Identifier: Apache-2.0
"""The chain broadcast: head → node 1 → node 2 → …, every node consuming the stream while it forwards it.

This side starts a relay on every node, tells them the chain, follows what they report, and judges: a node
is ok when its consumer exited with 0 and the digest of what it received is that of the image. The data go
through ``Head``; what runs on the nodes is in ``node/``.

The secret of each broadcast goes to the relays over ssh and authenticates peers to each other, so nobody else
on the network can feed a node or be fed. The stream itself is neither encrypted nor authenticated byte by
byte: who can rewrite packets between two nodes can spoil it, which the digest detects at the end.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from kadeploy.broadcast.head import Head
from kadeploy.broadcast.interface import (
    BroadcastProgress,
    Delivery,
    RelayProcess,
    RelayResult,
    RelayTransport,
    Target,
    Trouble,
)
from kadeploy.broadcast.node.relay import Chain, Settings
from kadeploy.broadcast.program import ARGUMENTS, program
from kadeploy.errors import NodeError, ServiceError, UnreachableError

Item = TypeVar("Item")

GRACE = 0.5  # seconds in which a node that was given up may still say itself what happened


class ChainBroadcast:
    """``Broadcast`` by a chain of relays."""

    async def run(
        self,
        delivery: Delivery,
        transport: RelayTransport,
        progress: Callable[[BroadcastProgress], None],
    ) -> Mapping[str, RelayResult]:
        if problem := await asyncio.to_thread(_size_problem, delivery):
            return {target.node: RelayResult(Trouble.IMAGE, problem) for target in delivery.targets}
        session = _Session(delivery, transport, progress)
        try:
            return await session.run()
        finally:
            await session.close()


@dataclass(slots=True, eq=False)
class _Relay:
    """What the head knows of one node."""

    target: Target
    verdict: asyncio.Future[RelayResult]
    process: RelayProcess | None = None
    port: int = 0
    received: int = 0
    consumed: int = 0
    given_up: str = ""
    noise: list[str] = field(default_factory=list)  # lines that are no events: what a login shell prints


class _Session:
    """One run of a chain broadcast."""

    def __init__(
        self, delivery: Delivery, transport: RelayTransport, progress: Callable[[BroadcastProgress], None]
    ) -> None:
        self._delivery, self._transport, self._progress = delivery, transport, progress
        self._options = delivery.options
        self._loop = asyncio.get_running_loop()
        self._began = time.monotonic()
        self._secret = secrets.token_bytes(32)
        self._relays = {
            target.node: _Relay(target, self._loop.create_future()) for target in delivery.targets
        }
        self._image_problem = ""
        self._stopped = threading.Event()
        self._head: Head | None = None
        self._digest: asyncio.Task[str] | None = None

    async def run(self) -> Mapping[str, RelayResult]:
        """Start everybody, then wait until every node has a verdict or the deadline is over."""
        self._head = self._make_head()
        if not self._delivery.image.sha256:
            self._digest = asyncio.create_task(self._hash_image())
        try:
            async with asyncio.timeout(self._options.deadline), asyncio.TaskGroup() as group:
                followers = await self._start_relays(group)
                await asyncio.wait([relay.verdict for relay in self._relays.values()])
                for follower in followers:
                    follower.cancel()
        except TimeoutError:
            for relay in self._relays.values():
                self._settle(relay, f"not finished within {self._options.deadline:g} s")
        return await self._judge()

    async def close(self) -> None:
        """Stop the relays that still run, the head's threads and the hashing."""
        self._stopped.set()
        running = [relay.process for relay in self._relays.values() if relay.process]
        await self._bounded(lambda process: process.stop(), running)
        if self._head:
            await asyncio.to_thread(self._head.stop)
        if self._digest:
            await asyncio.wait([self._digest])

    # --- starting -------------------------------------------------------------------------------------------

    async def _start_relays(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        await self._bounded(self._start, self._relays.values())
        chain = [relay for relay in self._relays.values() if relay.port]
        peers = [(relay.target.node, relay.target.address, relay.port) for relay in chain]
        assert self._head
        self._head.feed(peers)
        return [
            group.create_task(self._follow(relay, Chain(rank, peers[rank:])))
            for rank, relay in enumerate(chain, 1)
        ]

    async def _start(self, relay: _Relay) -> None:
        try:
            async with asyncio.timeout(self._options.start_timeout):
                process = relay.process = await self._transport.start(relay.target.node, ARGUMENTS)
                await process.write(program() + _line(self._settings(relay.target)))
                await self._hear(relay, process)
        except TimeoutError:
            self._settle(relay, f"the relay did not listen within {self._options.start_timeout:g} s")
        except NodeError as error:
            trouble = Trouble.NODE if isinstance(error, UnreachableError) else Trouble.PEERS
            self._settle(relay, error.message, error.evidence, trouble)
        except OSError as error:
            self._settle(relay, f"the relay cannot be started: {error}")

    def _settings(self, target: Target) -> Mapping[str, object]:
        delivery, options = self._delivery, self._options
        assert self._head
        consumer = delivery.consumer
        return Settings(
            secret=self._secret.hex(),
            address=target.address,
            head=(delivery.head_address, self._head.port),
            size=delivery.image.size,
            consumer=consumer if isinstance(consumer, str) else [list(command) for command in consumer],
            window=options.window,
            silence=options.silence,
            patience=options.patience,
        )._asdict()

    def _make_head(self) -> Head:
        def skipped(node: str, reason: str) -> None:
            self._loop.call_soon_threadsafe(self._give_up, node, "the head", reason)

        def broken(reason: str) -> None:
            self._loop.call_soon_threadsafe(self._spoil, reason)

        image, address = self._delivery.image, self._delivery.head_address
        try:
            return Head(image.path, image.size, address, self._secret, self._options.silence, skipped, broken)
        except OSError as error:
            raise ServiceError(f"the broadcast cannot listen on {address}: {error.strerror}") from error

    async def _bounded(self, work: Callable[[Item], Awaitable[object]], items: Iterable[Item]) -> None:
        slots = asyncio.Semaphore(self._options.start_fanout)

        async def one(item: Item) -> None:
            async with slots:
                await work(item)

        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(one(item))

    # --- listening to the relays ----------------------------------------------------------------------------

    async def _follow(self, relay: _Relay, chain: Chain) -> None:
        """Tell `relay` the chain and hear it to its end: after its verdict it may still give up others."""
        assert relay.process
        process = relay.process
        try:
            async with asyncio.timeout(self._options.report_timeout):
                await process.write(_line(chain._asdict()))
            heard = True
            while heard:
                async with asyncio.timeout(self._options.report_timeout):
                    heard = await self._hear(relay, process)
        except TimeoutError:
            self._settle(relay, f"nothing heard from the relay for {self._options.report_timeout:g} s")
        except NodeError as error:
            trouble = Trouble.NODE if isinstance(error, UnreachableError) else Trouble.PEERS
            self._settle(relay, error.message, error.evidence, trouble)
        except OSError as error:
            self._settle(relay, f"the relay cannot be reached: {error}")

    async def _hear(self, relay: _Relay, process: RelayProcess) -> bool:
        """Take in the next event of `relay`, False at its end; lines that are none are kept as evidence."""
        while line := await process.readline():
            try:
                event = json.loads(line)
                kind = event["event"]
            except (ValueError, TypeError, KeyError):
                relay.noise = [*relay.noise[-9:], line.decode(errors="replace").rstrip()]
                continue
            try:
                self._take(relay, str(kind), event)
            except (ValueError, TypeError, KeyError):
                self._settle(relay, "the relay reported nonsense", line.decode(errors="replace"))
            return True
        ending = await process.stop()
        reason = ": ".join(filter(None, ["the relay ended", relay.given_up]))
        self._settle(relay, reason, "\n".join([*relay.noise, ending]))
        return False

    def _take(self, relay: _Relay, kind: str, event: Mapping[str, Any]) -> None:
        if kind == "listening":
            relay.port = int(event["port"])
        elif kind == "skipped":
            if relay.given_up:
                return  # it stood still, and took that for the others' silence; its finder goes on for it
            self._give_up(str(event["node"]), relay.target.node, str(event["reason"]))
        else:
            relay.received = int(event.get("bytes", 0))
            relay.consumed = int(event.get("consumed", 0))
            size = self._delivery.image.size
            self._progress(BroadcastProgress(relay.target.node, relay.received, relay.consumed, size))
            digest = str(event.get("sha256", ""))
            if kind == "failed":
                # Who has read the whole stream, and hence has a digest, failed in what it did with it.
                trouble = Trouble.CONSUMER if digest else Trouble.PEERS
                self._settle(relay, str(event["reason"]), str(event["evidence"]), trouble, digest)
            elif kind == "done":
                self._settle(relay, "", "", Trouble.NONE, digest)

    def _give_up(self, node: str, by: str, reason: str) -> None:
        relay = self._relays[node]
        relay.given_up = relay.given_up or f"given up by {by}: {reason}"
        self._loop.call_later(GRACE, self._settle, relay, relay.given_up)

    def _spoil(self, reason: str) -> None:
        self._image_problem = self._image_problem or reason
        for relay in self._relays.values():
            self._settle(relay, reason, trouble=Trouble.IMAGE)

    def _settle(
        self,
        relay: _Relay,
        reason: str,
        evidence: str = "",
        trouble: Trouble = Trouble.PEERS,
        digest: str = "",
    ) -> None:
        """The first verdict stands."""
        if not relay.verdict.done():
            seconds = time.monotonic() - self._began
            relay.verdict.set_result(RelayResult(trouble, reason, evidence, relay.received, digest, seconds))

    # --- judging --------------------------------------------------------------------------------------------

    async def _judge(self) -> Mapping[str, RelayResult]:
        """Compare the digests; when a node failed by its data, see whether the file itself is to blame."""
        results = {node: relay.verdict.result() for node, relay in self._relays.items()}
        declared = self._delivery.image.sha256.lower()
        try:
            expected = declared or (await self._digest if self._digest else "")
            results = {node: _compare(result, expected) for node, result in results.items()}
            suspicious = any(not result.ok and result.sha256 for result in results.values())
            if declared and suspicious and (actual := await self._hash_image()) != declared:
                self._spoil(f"the image's SHA-256 is {actual}, the environment declares {declared}")
        except OSError as error:
            self._spoil(f"the image cannot be read: {error.strerror}")
        if self._image_problem:
            return {
                node: replace(result, trouble=Trouble.IMAGE, reason=self._image_problem)
                for node, result in results.items()
            }
        return results

    async def _hash_image(self) -> str:
        return await asyncio.to_thread(_digest_of, self._delivery.image.path, self._stopped)


def _compare(result: RelayResult, expected: str) -> RelayResult:
    if not result.sha256 or result.sha256 == expected:
        return result
    other = f"received other data: SHA-256 {result.sha256}, expected {expected}"
    return replace(result, trouble=Trouble.DATA, reason=result.reason or other)


def _size_problem(delivery: Delivery) -> str:
    image = delivery.image
    try:
        size = image.path.stat().st_size
    except OSError as error:
        return f"the image {image.path} cannot be read: {error.strerror}"
    return "" if size == image.size else f"the image {image.path} has {size} bytes, not {image.size}"


def _digest_of(path: Path, stopped: threading.Event) -> str:
    """SHA-256 of the file; what was hashed so far when `stopped` is set meanwhile."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while (piece := file.read(1 << 20)) and not stopped.is_set():
            digest.update(piece)
    return digest.hexdigest()


def _line(value: Mapping[str, object]) -> bytes:
    """JSON that is a Python literal as well: text as it is, no booleans, no nulls."""
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
