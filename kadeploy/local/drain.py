# SPDX-License-Identifier: Apache-2.0
"""Drain of a program that has ended: its last output is still on the way, but may never be closed.

What a program leaves in the background, as a daemon that a package has started, holds its streams open for as
long as that runs. So nobody waits for the end of the output where the end of the program is meant.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from kadeploy.time_limit import time_limit


class Patience(NamedTuple):
    """Seconds without output after which no more is expected, and seconds after which no more is taken."""

    silence: float
    limit: float


LOCAL = Patience(silence=0.2, limit=2.0)  # what a program has written is in the pipe when it has ended
REMOTE = Patience(silence=1.0, limit=10.0)  # it is behind an exit status that sshd sends first


async def drain(closed: asyncio.Event, received: Callable[[], int], patience: Patience) -> None:
    """Wait until the output is closed, or until nothing more of it comes; ``received`` counts its bytes."""
    give_up = time.monotonic() + patience.limit
    before = -1
    while (now := received()) != before and time.monotonic() < give_up and not closed.is_set():
        before = now
        with suppress(TimeoutError):
            async with time_limit(patience.silence):
                await closed.wait()
