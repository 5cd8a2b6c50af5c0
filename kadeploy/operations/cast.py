# SPDX-License-Identifier: Apache-2.0
"""A file to many hosts by the user's own ssh, outside of any deployment."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from kadeploy.broadcast.interface import (
    Broadcast,
    BroadcastOptions,
    BroadcastProgress,
    Delivery,
    ImageSource,
    Pipeline,
    RelayResult,
    Target,
    Trouble,
)
from kadeploy.errors import NodeError, UnreachableError, UsageError
from kadeploy.operations.keepers import Keepers
from kadeploy.remote.user import UserConnections

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the file shall be on each host, and the permissions that it shall have."""

    path: str
    mode: int


@dataclass(frozen=True, slots=True)
class CastRequest:
    """What goes to which hosts, in the order of the chain.

    ``address`` is where the hosts reach this machine, found out where it is ''.
    """

    image: ImageSource
    hosts: Sequence[str]
    consumer: Pipeline | Destination
    address: str = ""
    options: BroadcastOptions = field(default_factory=BroadcastOptions)


class Cast:
    """One cast. ``failed`` is told each host that fails otherwise than in the broadcast."""

    def __init__(
        self,
        request: CastRequest,
        connections: UserConnections,
        broadcast: Broadcast,
        progress: Callable[[BroadcastProgress], None],
        failed: Callable[[str], None],
    ) -> None:
        self._request = request
        self._connections = connections
        self._broadcast = broadcast
        self._progress = progress
        self._failed = failed
        self._results: dict[str, RelayResult] = {}

    async def run(self) -> Mapping[str, RelayResult]:
        """The result of every host, in their order; when it ends, nothing of it runs on any host.

        Raises UsageError where it is not clear where the hosts reach this machine.
        """
        seen = await self._each(self._request.hosts, self._connections.addresses)
        if seen:
            head = self._request.address or head_address([ours for ours, _ in seen.values()])
            targets = [Target(host, theirs) for host, (_, theirs) in seen.items()]
            await self._deliver(targets, head)
        return {host: self._results[host] for host in self._request.hosts}

    async def _deliver(self, targets: Sequence[Target], head: str) -> None:
        consumer = self._request.consumer
        if not isinstance(consumer, Destination):
            await self._send(targets, consumer, head)
            return
        keepers = Keepers(self._connections, consumer.path, consumer.mode)
        try:
            ready = await self._each([target.node for target in targets], keepers.prepare)
            await self._send([target for target in targets if target.node in ready], keepers.temporary, head)
            await self._each([host for host in ready if self._results[host].ok], keepers.keep)
        finally:
            await keepers.aclose()

    async def _send(self, targets: Sequence[Target], consumer: Pipeline | str, head: str) -> None:
        request = self._request
        delivery = Delivery(request.image, targets, consumer, head, request.options)
        if targets:
            self._results |= await self._broadcast.run(delivery, self._connections, self._progress)

    async def _each(self, hosts: Sequence[str], work: Callable[[str], Awaitable[Found]]) -> dict[str, Found]:
        """What ``work`` gives for each host with which it succeeds, in their order."""
        found: dict[str, Found] = {}

        async def one(host: str) -> None:
            try:
                found[host] = await work(host)
            except NodeError as error:
                self._fail(host, error)

        async with asyncio.TaskGroup() as group:
            for host in hosts:
                group.create_task(one(host))
        return {host: found[host] for host in hosts if host in found}

    def _fail(self, host: str, error: NodeError) -> None:
        trouble = Trouble.NODE if isinstance(error, UnreachableError) else Trouble.CONSUMER
        known = self._results.get(host, RelayResult())
        self._results[host] = replace(known, trouble=trouble, reason=error.message, evidence=error.evidence)
        self._failed(host)


def head_address(seen: Sequence[str]) -> str:
    """The address of this machine that most hosts see; raises UsageError where they see another machine."""
    for address, _ in Counter(seen).most_common():
        if _is_ours(address):
            return address
    raise UsageError(
        f"the hosts see this machine as {seen[0]}, which is no address of it",
        hint="--address ADDRESS says where the hosts reach this machine",
    )


def _is_ours(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
