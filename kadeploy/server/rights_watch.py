# SPDX-License-Identifier: Apache-2.0
"""Watch over rights: operations end with them, also where a right ends by the time of day."""

from __future__ import annotations

import asyncio
import logging

from kadeploy.errors import KadeployError
from kadeploy.server.supervisor import Supervisor
from kadeploy.service.lost_rights import end_lost

INTERVAL = 2.0  # seconds between two looks

log = logging.getLogger(__name__)


async def watch_rights(supervisor: Supervisor) -> None:
    """End what was begun by rights that are over, at once and then again and again."""
    while True:
        try:
            await end_lost(supervisor.site, supervisor.store)
        except KadeployError as error:  # the next look does what is left
            log.error("what has lost its rights may go on: %s", error)
        await asyncio.sleep(INTERVAL)
