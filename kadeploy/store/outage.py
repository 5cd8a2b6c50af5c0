# SPDX-License-Identifier: Apache-2.0
"""Outage: the time in which the store is away, and who waits for its end for how long.

Whoever works on nodes waits in ``patient``; everybody else only for the turn of another writer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from kadeploy.errors import ServiceError
from kadeploy.store.trouble import StoreAwayError
from kadeploy.time_limit import uncounted

PAUSE = 0.2  # seconds between two attempts
SILENCE = 3.0  # seconds until it is told: of many writers one may well have to wait for a moment

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Patience:
    """Patience of one operation: seconds of an outage that it bears, and who is told that it is over."""

    seconds: float
    give_up: Callable[[ServiceError], None]
    told: bool = field(init=False, default=False)


# Tasks have the patience of the task that has made them.
_patience: ContextVar[_Patience | None] = ContextVar("patience", default=None)


@contextmanager
def patient(seconds: float, give_up: Callable[[ServiceError], None] = lambda _: None) -> Iterator[None]:
    """Let what the block does with a store that is away wait so long; its time counts for no time limit.

    ``give_up`` is called before an error is raised because the store stays away, or is lost.
    """
    token = _patience.set(_Patience(seconds, give_up))
    try:
        yield
    finally:
        _patience.reset(token)


def give_up(error: ServiceError) -> None:
    """Tell the operation of this task, if any, that the store is of no use to it any more."""
    if patience := _patience.get():
        patience.give_up(error)


def _current() -> _Patience | None:
    """Patience of this task, None once it is cancelled: then it has to come to an end."""
    task = asyncio.current_task()
    return None if task and task.cancelling() else _patience.get()


class Outage:
    """Outage of a store for those who write, or for those who read. ``seconds``: patience with a lock."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._turns = asyncio.Lock()
        self._since: float | None = None

    @property
    def lasts(self) -> bool:
        """Report that the store has not worked since it was found to be away."""
        return self._since is not None

    @property
    def is_waited_for(self) -> bool:
        """Report that somebody waits for its end whom this task, which is patient, must not overtake."""
        return self._turns.locked() and _current() is not None

    def begin(self, since: float) -> None:
        """Note that the store was away when it was asked at ``since``, in the loop's time."""
        if self._since is None:
            self._since = since

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait behind those who are as patient; the whole wait counts for no time limit of theirs."""
        if _current() is None:
            yield
            return
        with uncounted():
            async with self._turns:
                yield

    async def wait(self, error: StoreAwayError) -> None:
        """Wait for a moment; raises the error where it was waited long enough."""
        now, patience = asyncio.get_running_loop().time(), _patience.get()
        self.begin(now)
        lasted = now - (self._since or now)
        if lasted >= self._bearable(error):
            raise _lasting(error, lasted)
        if patience and not patience.told and lasted >= SILENCE:
            patience.told = True
            hint = f" ({error.hint})" if error.locked and error.hint else ""
            log.warning("%s%s: what is to be written waits", error.message, hint)
        await asyncio.sleep(PAUSE)

    def _bearable(self, error: StoreAwayError) -> float:
        if patience := _current():
            return max(patience.seconds, self._seconds)
        return self._seconds if error.locked else 0.0

    def end(self) -> None:
        """Note that the store works."""
        if self._since is None:
            return
        lasted = asyncio.get_running_loop().time() - self._since
        self._since = None
        if (patience := _patience.get()) and patience.told:
            patience.told = False
            log.warning("the store works again, after %.0f s", lasted)


def _lasting(error: StoreAwayError, seconds: float) -> StoreAwayError:
    if seconds < 1:
        return error
    return StoreAwayError(f"{error.message}, for {seconds:.0f} s", hint=error.hint, locked=error.locked)
