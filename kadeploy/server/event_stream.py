# SPDX-License-Identifier: Apache-2.0
"""Stream of events, as server-sent events: each has its number, by which a client asks for those behind it.

The stream of a workflow that rests ends with ``rested``; one that breaks off without is asked for again. A
comment comes now and then where nothing happens: so either end notices that the other has gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from kadeploy.contract.event_stream import ERROR, RESTED
from kadeploy.server.answers import told
from kadeploy.service.views.event import EventView
from kadeploy.workflow.event import Event

PING = 15.0  # seconds
EARLY = 0.5  # seconds for which an error may come as an answer of its own
MEDIA_TYPE = "text/event-stream"


async def stream(events: AsyncIterator[Event]) -> Response:
    """Answer with the events; raises KadeployError for what is refused at once."""
    first = asyncio.ensure_future(anext(events, None))
    try:
        await asyncio.wait([first], timeout=EARLY)
        if first.done() and not first.cancelled() and (error := first.exception()):
            raise error
    except BaseException:
        first.cancel()
        raise
    return StreamingResponse(
        _lines(events, first), media_type=MEDIA_TYPE, headers={"cache-control": "no-store"}
    )


async def _lines(events: AsyncIterator[Event], coming: asyncio.Future[Event | None]) -> AsyncIterator[bytes]:
    try:
        while True:
            await asyncio.wait([coming], timeout=PING)
            if not coming.done():
                yield b":\n\n"
                continue
            event = coming.result()
            if event is None:
                yield f"event: {RESTED}\ndata: {{}}\n\n".encode()
                return
            document = EventView.of(event).to_json_text()
            yield f"id: {event.sequence}\nevent: {event.kind}\ndata: {document}\n\n".encode()
            coming = asyncio.ensure_future(anext(events, None))
    except Exception as error:
        yield f"event: {ERROR}\ndata: {told(error).to_json_text()}\n\n".encode()
    finally:
        coming.cancel()
        await asyncio.wait([coming])
