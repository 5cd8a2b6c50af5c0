# SPDX-License-Identifier: Apache-2.0
"""Attempts at what must not stop or hide the rest of an operation: they fail with a line in the log."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any

from kadeploy.errors import KadeployError, ServiceError
from kadeploy.time_limit import time_limit

log = logging.getLogger(__name__)

LIMIT = 30.0  # seconds of one attempt, after which it is given up


async def attempt(
    consequence: str, work: Coroutine[Any, Any, object], *, told: bool = False
) -> KadeployError | OSError | None:
    """Do some work within the limit; logs, unless it is ``told``, and returns the error by which it fails."""
    try:
        async with time_limit(LIMIT):
            await work
    except TimeoutError:
        late = ServiceError(f"{consequence}: not done within {LIMIT:g} s")
        log.error("%s", late)
        return late
    except (KadeployError, OSError) as error:
        if not told:
            log.error("%s: %s", consequence, error)
        return error
    return None
