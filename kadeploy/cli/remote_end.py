# SPDX-License-Identifier: Apache-2.0
"""End of an operation that a server carries out, as the command that has begun it sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kadeploy.cli.interruption import Interruption, Wish
from kadeploy.client.operations import ServedWorkflow
from kadeploy.service.views.result import ResultView


async def remote_end(running: ServedWorkflow, tell: Callable[[str], None]) -> ResultView:
    """Wait for the end of an operation, or for the user's wish.

    Raises CancelledError where the user has aborted it, whose result is there then, or has left it alone.
    """
    interruption = Interruption(running.wid, tell)
    interruption.open()
    finishing = asyncio.create_task(running.finish(), name=f"follow-{running.wid}")
    try:
        wish = await _wish(interruption, finishing)
        if wish is Wish.ABORT:
            await running.abort()
            tell(f"{running.wid} is being aborted; Ctrl-C once more leaves it alone")
            if await _wish(interruption, finishing) is None:
                await finishing
                raise asyncio.CancelledError
            wish = Wish.DETACH
        if wish is None:
            return await finishing
        tell(f"{running.wid} goes on; kadeploy --watch {running.wid} shows it")
        raise asyncio.CancelledError
    finally:
        interruption.close()
        finishing.cancel()
        await asyncio.wait([finishing])
        if not finishing.cancelled():
            finishing.exception()  # raised above, or of no interest to who has left


async def _wish(interruption: Interruption, finishing: asyncio.Task[ResultView]) -> Wish | None:
    """Next wish of the user, None where the operation has ended before he had one."""
    wishing = asyncio.create_task(interruption.wish(), name="wish")
    try:
        await asyncio.wait([wishing, finishing], return_when=asyncio.FIRST_COMPLETED)
        return wishing.result() if wishing.done() else None
    finally:
        wishing.cancel()
        await asyncio.wait([wishing])
