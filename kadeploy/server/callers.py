# SPDX-License-Identifier: Apache-2.0
"""Callers of a server, by the numbers that the kernel gives: their names and groups are looked up."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from kadeploy.caller import Caller

FRESH = 30.0  # seconds for which what the databases of users have said is taken to hold
MAX_KNOWN = 1000  # users who are remembered


@dataclass(frozen=True, slots=True)
class _Found:
    caller: Caller
    at: float


class CallerDirectory:
    """Directory of the users of this machine. Their databases may be in a network: a thread asks them."""

    def __init__(self) -> None:
        self._found: dict[int, _Found] = {}

    async def caller(self, uid: int) -> Caller:
        """Caller with the number of a user, with all groups that he would have if he logged in now."""
        now = time.monotonic()
        known = self._found.get(uid)
        if known is not None and now - known.at < FRESH:
            return known.caller
        caller = await asyncio.to_thread(Caller.of_user, uid)
        if len(self._found) >= MAX_KNOWN:
            self._found.clear()
        self._found[uid] = _Found(caller, now)
        return caller
