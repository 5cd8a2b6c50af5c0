# SPDX-License-Identifier: Apache-2.0
"""Cast of a file to many hosts by the user's own ssh, outside of any deployment."""

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
    Recipient,
    RelayResult,
    Trouble,
)
from kadeploy.cast.atomic_files import AtomicFiles
from kadeploy.errors import NodeError, UnreachableError, UsageError
from kadeploy.remote.user import UserConnections

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Destination:
    """Path and permissions of the file on each host."""

    path: str
    mode: int


@dataclass(frozen=True, slots=True)
class CastRequest:
    """File, hosts in the order of the chain, and consumer of a cast.

    ``address`` is the address of this machine for the hosts; '' asks for it to be found out.
    """

    image: ImageSource
    hosts: Sequence[str]
    consumer: Pipeline | Destination
    address: str = ""
    options: BroadcastOptions = field(default_factory=BroadcastOptions)


class Cast:
    """One cast. ``failed`` is called with each host that fails before or after the broadcast."""

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
        """Result of every host, in the order of the hosts; afterwards nothing of the cast runs on any host.

        Raises UsageError if the address of this machine for the hosts cannot be found out.
        """
        seen = await self._each(self._request.hosts, self._connections.addresses)
        if seen:
            head = self._request.address or head_address([ours for ours, _ in seen.values()])
            recipients = [Recipient(host, theirs) for host, (_, theirs) in seen.items()]
            await self._deliver(recipients, head)
        return {host: self._results[host] for host in self._request.hosts}

    async def _deliver(self, recipients: Sequence[Recipient], head: str) -> None:
        consumer = self._request.consumer
        if not isinstance(consumer, Destination):
            await self._send(recipients, consumer, head)
            return
        files = AtomicFiles(self._connections, consumer.path, consumer.mode)
        try:
            ready = await self._each([recipient.node for recipient in recipients], files.prepare)
            await self._send(
                [recipient for recipient in recipients if recipient.node in ready], files.temporary, head
            )
            await self._each([host for host in ready if self._results[host].ok], files.publish)
        finally:
            await files.aclose()

    async def _send(self, recipients: Sequence[Recipient], consumer: Pipeline | str, head: str) -> None:
        request = self._request
        delivery = Delivery(request.image, recipients, consumer, head, request.options)
        if recipients:
            self._results |= await self._broadcast.run(delivery, self._connections, self._progress)

    async def _each(
        self, hosts: Sequence[str], work: Callable[[str], Awaitable[Result]]
    ) -> dict[str, Result]:
        """Result of ``work`` for each host with which it succeeds, in the order of the hosts."""
        results: dict[str, Result] = {}

        async def one(host: str) -> None:
            try:
                results[host] = await work(host)
            except NodeError as error:
                self._fail(host, error)

        async with asyncio.TaskGroup() as group:
            for host in hosts:
                group.create_task(one(host))
        return {host: results[host] for host in hosts if host in results}

    def _fail(self, host: str, error: NodeError) -> None:
        trouble = Trouble.NODE if isinstance(error, UnreachableError) else Trouble.CONSUMER
        known = self._results.get(host, RelayResult())
        self._results[host] = replace(known, trouble=trouble, reason=error.message, evidence=error.evidence)
        self._failed(host)


def head_address(seen: Sequence[str]) -> str:
    """Address of this machine that most hosts see; raises UsageError if they see another machine."""
    for address, _ in Counter(seen).most_common():
        if _is_ours(address):
            return address
    raise UsageError(
        f"the hosts see this machine as {seen[0]}, which is no address of it",
        hint="`address` says where the hosts reach this machine",
    )


def _is_ours(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
