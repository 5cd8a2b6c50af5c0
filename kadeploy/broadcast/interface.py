# SPDX-License-Identifier: Apache-2.0
"""Interface of broadcasts: values in and out, and what a broadcast needs from its caller.

A caller makes a ``Delivery`` and gives it, with a ``RelayTransport`` that can start a program on a node, to a
``Broadcast``: ``results = await ChainBroadcast().run(delivery, transport, progress)``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from kadeploy.broadcast.seal_cache import SealCache

Pipeline = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Image file to send: size in bytes, SHA-256 in hexadecimal, empty where none is declared.

    ``opened``: path of the open file, where what is at ``path`` by now does not count.
    """

    path: Path
    size: int
    sha256: str = ""
    opened: Path | None = None

    @property
    def readable(self) -> Path:
        """Path by which the image is read."""
        return self.opened or self.path


@dataclass(frozen=True, slots=True)
class Recipient:
    """Node and the address at which the other nodes reach it."""

    node: str
    address: str


@dataclass(frozen=True, slots=True)
class BroadcastOptions:
    """Deadlines in seconds, sizes in bytes.

    arity: number of others that a node feeds; 1 is the chain, more a tree.
    window: part of the stream that a node keeps in memory.
    chunk: part that is checked, and sent again when it arrived wrong, as one.
    silence: a peer without a sign of life for so long is probed, and has half of that to answer, whatever the
        state of its TCP connection is.
    patience: time for which a node without a feeder waits for another one.
    absence: time for which the head, when no node answers, assumes that its own link is cut.
    start_timeout: from the start of a relay to its listening.
    report_timeout: a relay that has reported nothing for so long is lost.
    deadline: for the whole broadcast, after which unfinished nodes are failed; None leaves it to the caller.
    """

    arity: int = 1
    window: int = 64 << 20
    chunk: int = 256 << 10
    silence: float = 0.8
    patience: float = 60.0
    absence: float = 10.0
    start_timeout: float = 30.0
    report_timeout: float = 15.0
    deadline: float | None = None
    start_fanout: int = 64


@dataclass(frozen=True, slots=True)
class Delivery:
    """Image for many nodes, in the order of the chain.

    `consumer`: a pipeline of argument lists that reads the stream on each node, or the path of a disk or a
    file that is there. `head_address`: the address at which the nodes reach this process. `seals`: where the
    seals of images are kept whose digest is known.
    """

    image: ImageSource
    recipients: Sequence[Recipient]
    consumer: Pipeline | str
    head_address: str
    options: BroadcastOptions = field(default_factory=BroadcastOptions)
    seals: SealCache | None = None

    @property
    def nodes(self) -> list[str]:
        """Names of the recipients, in their order."""
        return [recipient.node for recipient in self.recipients]


class Trouble(StrEnum):
    """Kind of a failure.

    NODE: the transport could not reach it. PEERS: no data arrived, or its relay was lost. DATA: damaged data.
    CONSUMER: the consumer failed on good data. IMAGE: the file is not as declared.
    """

    NONE = ""
    NODE = "node"
    PEERS = "peers"
    DATA = "data"
    CONSUMER = "consumer"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class RelayResult:
    """Result of one node. Ok means: the digest is right and the consumer exited with 0.

    `seconds`: since it joined the broadcast. `notes`: events on the way, such as that it had to leave its
    lane, and why; `moved`: how often it had to.
    """

    trouble: Trouble = Trouble.NONE
    reason: str = ""
    evidence: str = ""
    received: int = 0
    sha256: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    moved: int = 0

    @property
    def ok(self) -> bool:
        return self.trouble is Trouble.NONE


@dataclass(frozen=True, slots=True)
class BroadcastProgress:
    """Bytes of `size` that `node` has received and its consumer has taken.

    `upstream`: its feeder, '' as long as there is none. `lane`: 0, or more for a node that is late or had to
    leave its lane. `position`: its rank there, from 1 on.
    """

    node: str
    received: int
    consumed: int
    size: int
    upstream: str = ""
    lane: int = 0
    position: int = 0


class RelayProcess(Protocol):
    """Program that runs on a node, most often through ssh."""

    async def readline(self) -> bytes:
        """Next line of its standard output, b"" at the end."""

    async def write(self, data: bytes) -> None:
        """Send to its standard input."""

    async def stop(self) -> str:
        """Close standard input, which ends a relay and its consumer, and kill it if it does not end within
        seconds. Returns how it ended, with the last lines of its standard error."""


class RelayTransport(Protocol):
    """Transport that starts programs on nodes."""

    async def start(self, node: str, arguments: Sequence[str]) -> RelayProcess:
        """Start `arguments` on `node`; raises NodeError."""


Progress = Callable[[BroadcastProgress], None]
Early = Callable[[Mapping[str, RelayResult]], Awaitable[None]]


async def ignore(results: Mapping[str, RelayResult]) -> None:
    """Do nothing: for callers that need no early results."""


class Broadcast(Protocol):
    """Broadcast of an image to many nodes, by one method."""

    async def run(
        self, delivery: Delivery, transport: RelayTransport, progress: Progress, early: Early = ignore
    ) -> Mapping[str, RelayResult]:
        """Send the image; returns the result of every recipient. When it returns or is cancelled, nothing of
        it runs on any node.

        Before it returns, `early` may be called with early results: no other node needs these nodes any more,
        nothing runs on them, and the caller may use them, or even add them again.
        """
