# SPDX-License-Identifier: Apache-2.0
"""Reception of a broadcast by one cohort: progress and result of each node."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from kadeploy.broadcast.interface import BroadcastProgress, RelayResult
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.workbench import DeploymentWorkbench
from kadeploy.store.receptions import Reception


class Follower:
    """Observer of the progress of a cohort's nodes; it records what they have received."""

    def __init__(self, workbench: DeploymentWorkbench, runs: Sequence[NodeRun]) -> None:
        self._workbench = workbench
        self._runs = {run.node.name: run for run in runs}
        self._started, self._begun = time.time(), time.monotonic()
        self._last: dict[str, BroadcastProgress] = {}
        self._open = set(self._runs)

    def follow(self, progress: BroadcastProgress) -> None:
        """Record the progress of one node, and report it."""
        self._last[progress.node] = progress
        self._runs[progress.node].observed = _described(progress)
        self._workbench.progress(progress)

    def news(self, results: Mapping[str, RelayResult]) -> Mapping[str, RelayResult]:
        """Results of nodes that had none yet."""
        found = {node: result for node, result in results.items() if node in self._open}
        self._open -= found.keys()
        return found

    async def keep(self, results: Mapping[str, RelayResult]) -> None:
        """Store the results of the broadcast on some nodes."""
        if results:
            rows = [self._reception(node, result) for node, result in results.items()]
            await self._workbench.received(rows)

    async def close(self) -> None:
        """Store receptions of the nodes without a result: their broadcast was broken off."""
        if self._open:
            await self._workbench.received(
                [self._reception(node, None) for node in self._runs if node in self._open]
            )

    def _reception(self, node: str, result: RelayResult | None) -> Reception:
        last = self._last.get(node, BroadcastProgress(node, 0, 0, 0))
        return Reception(
            started=self._started,
            node=node,
            lane=last.lane,
            position=last.position,
            bytes=result.received if result else last.received,
            seconds=result.seconds if result else time.monotonic() - self._begun,
            ok=result is not None and result.ok,
            moved=result.moved if result else 0,
            notes=result.notes if result else (),
        )


def _described(progress: BroadcastProgress) -> str:
    shares = (100 * count // max(progress.size, 1) for count in (progress.received, progress.consumed))
    return "{}% of the image had been received, {}% unpacked".format(*shares)
