# SPDX-License-Identifier: Apache-2.0
"""Feed of an operation: tells its events to subscribers, and keeps them in the log of its workflow."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager

from kadeploy.operations.run.keeper import EventLog, Keeper
from kadeploy.operations.run.warning_handler import warnings_told
from kadeploy.workflow.event import Event

log = logging.getLogger(__name__)

Subscriber = Callable[[Event], None]
KeptSubscriber = Callable[[Sequence[Event]], None]


class Feed:
    """Feed of one operation. Before ``kept``, and in dry runs, events have no number and are only told."""

    def __init__(self) -> None:
        self._wid = ""
        self._subscribers: list[Subscriber] = []
        self._kept_subscribers: list[KeptSubscriber] = []
        self._defective: set[Callable[..., None]] = set()
        self._untold: deque[Event] = deque()
        self._telling = False
        self._keeper = Keeper(self._tell_kept)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call ``subscriber`` with every event at once; it must not block."""
        self._subscribers.append(subscriber)

    def subscribe_kept(self, subscriber: KeptSubscriber) -> None:
        """Call ``subscriber`` with events that are in the log now; it must not block."""
        self._kept_subscribers.append(subscriber)

    def publish(self, event: Event, cluster: str = "") -> None:
        """Tell an event to all subscribers, and keep it; nothing that goes wrong there is raised."""
        event = self._keeper.take(event, cluster, self._wid)
        if not self._subscribers:
            return
        self._untold.append(event)
        if self._telling:  # a subscriber publishes: the others are first told what came before
            return
        self._telling = True
        try:
            while self._untold:
                told = self._untold.popleft()
                for subscriber in self._subscribers:
                    self._call(subscriber, told)
        finally:
            self._telling = False

    @contextmanager
    def opened(self, wid: str) -> Iterator[None]:
        """Take events as those of this workflow while the block runs, and warnings of its tasks as events."""
        self._wid = wid
        with warnings_told(self.publish):
            yield

    def kept(self, event_log: EventLog, last: int = 0) -> AbstractAsyncContextManager[None]:
        """Number events behind ``last`` and keep them, those from before first, while the block runs.

        At its end all events are in the log, as far as it takes them. The workflow must be this process's.
        """
        return self._keeper.writing(self._wid, event_log, last)

    def _tell_kept(self, events: Sequence[Event]) -> None:
        for subscriber in self._kept_subscribers:
            self._call(subscriber, events)

    def _call(self, subscriber: Callable[..., None], told: Event | Sequence[Event]) -> None:
        try:
            subscriber(told)
        except Exception:
            if subscriber not in self._defective:
                self._defective.add(subscriber)
                log.exception("defect in a subscriber of events")
