# SPDX-License-Identifier: Apache-2.0
"""Server-sent events: their form on the wire, which is a part of HTML's standard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from kadeploy.errors import ServiceError

MAX_EVENT = 64 * 1024 * 1024  # bytes; an event that begins a large operation names all of its nodes


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """Event that a server has sent: the name of its kind, and its data."""

    kind: str
    data: str


async def server_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[ServerEvent]:
    """Events in a stream of bytes; what is not whole when it ends counts for nothing."""
    rest = bytearray()
    async for chunk in chunks:
        searched = max(len(rest) - 1, 0)
        rest += chunk
        while (end := rest.find(b"\n\n", searched)) >= 0:
            event = _parse(rest[:end].decode(errors="replace"))
            del rest[: end + 2]
            searched = 0
            if event is not None:
                yield event
        if len(rest) > MAX_EVENT:
            raise ServiceError(f"the server sends an event of more than {MAX_EVENT} bytes")


def _parse(block: str) -> ServerEvent | None:
    """Event of its lines, None for comments."""
    kind, data = "message", []
    for line in block.split("\n"):
        name, _, value = line.partition(":")
        if name == "event":
            kind = value.removeprefix(" ")
        elif name == "data":
            data.append(value.removeprefix(" "))
    return ServerEvent(kind, "\n".join(data)) if data else None
