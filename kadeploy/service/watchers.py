# SPDX-License-Identifier: Apache-2.0
"""Watchers of an operation that this process carries out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kadeploy.operations.run.feed import Feed, KeptSubscriber, Subscriber


@dataclass(frozen=True, slots=True)
class Watchers:
    """Watchers: ``subscribers`` get each event at once, those of ``kept`` once the log has it."""

    subscribers: Sequence[Subscriber] = ()
    kept: Sequence[KeptSubscriber] = ()

    def feed(self) -> Feed:
        """Make the feed of an operation, to which they have subscribed."""
        from kadeploy.operations.run.feed import Feed  # who asks a server has no feed

        feed = Feed()
        for subscriber in self.subscribers:
            feed.subscribe(subscriber)
        for kept in self.kept:
            feed.subscribe_kept(kept)
        return feed


NO_WATCHERS = Watchers()
