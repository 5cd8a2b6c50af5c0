# SPDX-License-Identifier: Apache-2.0
"""Retries while others keep the store locked, for work that need not be done at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from kadeploy.errors import ServiceError
from kadeploy.store import store

log = logging.getLogger(__name__)

PAUSE = 1.0  # seconds between two attempts

Result = TypeVar("Result")


async def retry(work: Callable[[], Awaitable[Result]], seconds: float, what: str) -> Result:
    """Result of ``work``, tried again while it raises ServiceError; ``what`` names it in the log, once.

    Raises the error when it could not be tried again to its end within so many seconds.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + seconds - store.BUSY_TIMEOUT - PAUSE
    warned = False
    while True:
        try:
            return await work()
        except ServiceError as error:
            if clock() > end:
                raise
            if not warned:
                log.warning("%s; %s is tried again", error, what)
            warned = True
        await asyncio.sleep(PAUSE)
