# SPDX-License-Identifier: Apache-2.0
"""End of what was begun by rights that were withdrawn, or whose time is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress

from kadeploy.config.site import Site
from kadeploy.errors import RefusedError
from kadeploy.service.rights import Claims, Rights, claims_of, find_missing
from kadeploy.store import rights as table
from kadeploy.store import workflows
from kadeploy.store.store import Store
from kadeploy.store.workflows import Workflow

LOSS = "loss of rights"  # in the place of the user who has cancelled a workflow

log = logging.getLogger(__name__)


async def end_lost(site: Site, store: Store, *, now: Callable[[], float] = time.time) -> list[str]:
    """End the workflows whose users have lost a right that they need; returns their identifiers.

    A workflow ends as a whole. One that runs is cancelled: its nodes are aborted within seconds by the
    process that works on it. One that is held, or whose process has died, is abandoned. Costs one query where
    no right is over; where this is broken off, the next call does what is left.
    """
    lost = await table.over(store, now=now)
    ended = []
    if lost and Rights.of(site).limited:
        for workflow in await workflows.list_open(store, {right.user for right in lost}):
            if await find_missing(store, workflow.user, _claims(site, workflow)):
                await _end(store, workflow)
                log.info("%s of %s ends: %s", workflow.id, workflow.user, LOSS)
                ended.append(workflow.id)
    await table.forget(store, lost)
    return ended


def _claims(site: Site, workflow: Workflow) -> Claims:
    # Imported here, as below: where nothing has to be ended, nobody waits for the imports of all operations.
    from kadeploy.operations import kinds

    try:
        return claims_of(site, kinds.recorded(workflow))
    except RefusedError:  # the request is of another version, or the site has lost a node
        return dict.fromkeys(workflow.request["request"]["nodes"], ())


async def _end(store: Store, workflow: Workflow) -> None:
    from kadeploy.operations import workflows as overviews

    if not (await overviews.look_at(store, workflow)).running:
        try:
            await overviews.abandon(store, workflow)
            return
        except RefusedError:  # somebody has let it go on meanwhile
            log.debug("%s is not abandoned but cancelled", workflow.id)
    with suppress(RefusedError):  # it has ended meanwhile
        await workflows.request_cancel(store, workflow.id, LOSS)
