# SPDX-License-Identifier: Apache-2.0
"""Resumption of a workflow: which of its nodes can continue, and whether they are where it left them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from kadeploy.errors import RefusedError
from kadeploy.nodes import fold
from kadeploy.operations.run.cluster_run import ClusterRun
from kadeploy.store import node_states
from kadeploy.store.store import Store
from kadeploy.workflow.automaton import Position
from kadeploy.workflow.engine import Engine
from kadeploy.workflow.node_progress import FIRST
from kadeploy.workflow.phase import Phase

HINT = "`list` shows the workflows and their nodes"


@dataclass(frozen=True, slots=True)
class Resumption:
    """Workflow whose journal was replayed; it was begun at ``started``, in seconds since the epoch."""

    store: Store
    wid: str
    started: float
    engine: Engine
    runs: Sequence[ClusterRun]

    def choose(self, phases: Collection[Phase], names: Sequence[str], *, unended: bool = False) -> list[str]:
        """Nodes in some phases, in order; raises RefusedError where a named one is not among them.

        There may be none where the workflow is ``unended``: its process was killed when all nodes had come to
        their ends, and its own end is still to be recorded.
        """
        fit = [name for phase in phases for name in self.engine.in_phase(phase)]
        if Phase.WAITING in phases:
            fit += self._unknown()
        if unfit := sorted(set(names) - set(fit)):
            raise RefusedError(f"{fold(unfit)} cannot go on in {self.wid}", hint=HINT)
        if not fit and not unended:
            raise RefusedError(f"no node of {self.wid} can go on", hint=HINT)
        return list(names or fit)

    def _unknown(self) -> list[str]:
        """Nodes without a beginning in the journal: the engine was killed before it wrote that."""
        return [
            name
            for cluster in self.engine.clusters
            for name in cluster.nodes
            if name not in cluster.driver.state_machine.nodes
        ]

    async def check_ownership(self, names: Sequence[str], starts: Mapping[str, Position | None]) -> None:
        """Refuse nodes that other workflows have had since: they are not where this one has left them.

        ``starts`` maps clusters to where nodes continue, None for where they are. Raises RefusedError.
        """
        continuing = {
            name for run in self.runs if starts[run.plan.cluster] != FIRST for name in run.plan.facts.nodes
        }
        continued = [name for name in names if name in continuing]
        if foreign := await foreign_nodes(self.store, self.wid, self.runs, continued, self.started):
            first = self.runs[0].plan.automaton.macrosteps[0].name
            raise RefusedError(
                f"{fold(foreign)} had another workflow since {self.wid}", hint=f"add `start` {first}"
            )


async def foreign_nodes(
    store: Store, wid: str, runs: Sequence[ClusterRun], names: Sequence[str], since: float = 0
) -> list[str]:
    """Nodes whose record belongs to another workflow, and is later than their beginning in this one.

    ``since`` stands for the beginning of those that have not begun. The beginning of a spare is known from
    the journal before it is from its record.
    """
    records = await node_states.read(store, names)
    begun = {name: at for run in runs for name, at in run.begun.items()}
    return [
        name
        for name, record in records.items()
        if record.workflow_id != wid and record.date >= begun.get(name, since)
    ]
