# SPDX-License-Identifier: Apache-2.0
"""Following a workflow: its events from a number on, until nobody works on it any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from kadeploy.errors import RefusedError
from kadeploy.operations import workflows as overviews
from kadeploy.operations.run.completion import complete_log
from kadeploy.store import event_log, workflows
from kadeploy.store.event_log import MisplacedEventsError
from kadeploy.store.store import Store
from kadeploy.workflow.event import Event, from_json
from kadeploy.workflow.event_kind import EventKind

INTERVAL = 0.05  # seconds between two looks at the log
WORK_INTERVAL = 1.0  # seconds between two looks whether somebody works on the workflow
BATCHES = 20  # of events that are read at once
PATIENCE = 3.0  # seconds for which the last event of a workflow that has come to its end may be missing


async def follow(store: Store, wid: str, since: int = 1, *, until_now: bool = False) -> AsyncIterator[Event]:
    """Events of a workflow from number ``since`` on, those of the past at once, until it rests.

    It rests when it has ended, is held, or its process was killed: then the events that its journal implies
    come last. ``until_now``: what there is now, and no more. Raises NotFoundError, ServiceError where the
    store does not work, and RefusedError for an event that this version does not know.
    """
    number, ended, looked, rested = max(since, 1), False, 0.0, 0.0
    while True:
        documents = await event_log.read(store, wid, number, BATCHES)
        for document in documents:
            event = _decode(wid, document)
            yield event
            number, ended = event.sequence + 1, event.kind is EventKind.ENDED
        if documents:
            continue
        if until_now:
            return
        now = time.monotonic()
        if ended or now - looked >= WORK_INTERVAL:
            looked = now
            workflow = await workflows.read(store, wid)
            overview = await overviews.look_at(store, workflow)
            if overview.running:
                rested, ended = 0.0, False
            elif overview.workflow.state.active:  # killed
                with suppress(MisplacedEventsError):  # another follower was quicker
                    await complete_log(store, wid, overviews.clusters_of(workflow))
                if await event_log.last(store, wid) < number:
                    return
            else:
                rested = rested or now
                long_ago = workflow.finished is not None and time.time() - workflow.finished > PATIENCE
                if ended or long_ago or now - rested > PATIENCE:
                    return
        await asyncio.sleep(INTERVAL)


def _decode(wid: str, document: Mapping[str, Any]) -> Event:
    try:
        return from_json(document)
    except ValueError as error:
        raise RefusedError(
            f"event {document['sequence']} of {wid} cannot be read by this version of kadeploy: {error}",
            hint="watch it with the version that carries it out",
        ) from error
