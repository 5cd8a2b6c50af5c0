# SPDX-License-Identifier: Apache-2.0
"""Stream of events, as server-sent events: each has its number, by which a client asks for those behind it.

The stream of a workflow that rests ends with ``rested``; one that breaks off without is asked for again. A
comment comes now and then where nothing happens: so either end notices that the other has gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from starlette.responses import Response, StreamingResponse

from kadeploy.contract.event_stream import ERROR, RESTED
from kadeploy.server.answers import told
from kadeploy.server.event_channels import encode
from kadeploy.workflow.event import Event

PING = 15.0  # seconds
EARLY = 0.5  # seconds for which an error may come as an answer of its own
MEDIA_TYPE = "text/event-stream"


async def stream(lines: AsyncGenerator[bytes, None]) -> Response:
    """Answer with encoded events; raises KadeployError for what is refused at once."""
    first = asyncio.ensure_future(anext(lines, None))
    try:
        await asyncio.wait([first], timeout=EARLY)
        if first.done() and not first.cancelled() and (error := first.exception()):
            raise error
    except BaseException:
        first.cancel()
        raise
    return StreamingResponse(
        _sent(lines, first), media_type=MEDIA_TYPE, headers={"cache-control": "no-store"}
    )


async def encoded(events: AsyncIterator[Event]) -> AsyncGenerator[bytes, None]:
    """Events that have an end, encoded; then RESTED."""
    async for event in events:
        yield encode(event)
    yield f"event: {RESTED}\ndata: {{}}\n\n".encode()


async def _sent(
    lines: AsyncGenerator[bytes, None], coming: asyncio.Future[bytes | None]
) -> AsyncIterator[bytes]:
    try:
        while True:
            await asyncio.wait([coming], timeout=PING)
            if not coming.done():
                yield b":\n\n"
                continue
            found = coming.result()
            if found is None:
                return
            yield found
            coming = asyncio.ensure_future(anext(lines, None))
    except Exception as error:
        yield f"event: {ERROR}\ndata: {told(error).to_json_text()}\n\n".encode()
    finally:
        coming.cancel()
        await asyncio.wait([coming])
        await lines.aclose()
