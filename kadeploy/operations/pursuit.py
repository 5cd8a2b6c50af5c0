# SPDX-License-Identifier: Apache-2.0
"""Pursues the goal of a deployment: ends it when it has enough, or no time left; begins spares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from kadeploy.operations.plan import Part
from kadeploy.workflow.driver import Driver
from kadeploy.workflow.events import NodeEnded
from kadeploy.workflow.goal import Goal


class Engine(Protocol):
    """What drives the nodes of one cluster."""

    @property
    def part(self) -> Part[Any]: ...

    @property
    def driver(self) -> Driver: ...


SomeEngine = TypeVar("SomeEngine", bound=Engine)


class Pursuit(Generic[SomeEngine]):
    """Watches the ends of nodes; ``begin`` lets a spare begin in the engine of its cluster."""

    def __init__(
        self, goal: Goal, engines: Sequence[SomeEngine], begin: Callable[[SomeEngine, str], None]
    ) -> None:
        self._goal = goal
        self._engines = engines
        self._begin = begin
        self._stopped = False

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """End the nodes that are still on their way after so many seconds of the block; 0 for never."""
        reason = f"the deadline of {seconds:g} s for all nodes was over"
        deadline = asyncio.get_running_loop().call_later(seconds, self._stop, reason) if seconds else None
        try:
            yield
        finally:
            if deadline is not None:
                deadline.cancel()

    def node_ended(self, engine: SomeEngine, ended: NodeEnded) -> None:
        """A node has come to its end."""
        self._goal.end(ended.node, ended.phase)
        self.weigh(engine)

    def weigh(self, engine: SomeEngine) -> None:
        """End with enough nodes, or begin spares for failed ones, those of the engine's cluster first."""
        if self._goal.reached:
            self._stop("enough nodes are deployed")
        if self._stopped:
            return
        for name in self._goal.take_spares(engine.part.group.spares):
            self._begin(next(other for other in self._engines if name in other.part.group.spares), name)

    def _stop(self, reason: str) -> None:
        """End the nodes that are still on their way."""
        if self._stopped:
            return
        self._stopped = True
        for engine in self._engines:
            group = engine.part.group
            if live := [name for name in (*group.nodes, *group.spares) if name in self._goal.live]:
                engine.driver.abort(live, reason)
