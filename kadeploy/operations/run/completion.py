# SPDX-License-Identifier: Apache-2.0
"""Completion of a log of events: what its journal implies, and a killed operation did not write any more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from kadeploy.operations.run.event_log import WorkflowEventLog
from kadeploy.operations.run.journal import WorkflowJournal
from kadeploy.operations.run.keeper import BATCH
from kadeploy.steps.workbench import Memory, NodeFacts
from kadeploy.store.store import Store
from kadeploy.workflow.automaton import Automaton
from kadeploy.workflow.event import Event, to_json
from kadeploy.workflow.state_machine import StateMachine
from kadeploy.workflow.transitions import Transition


@dataclass(slots=True)
class LastTransitions:
    """Last transition of each cluster that a log of events knows, and the number of its events there."""

    _known: dict[str, tuple[int, int]] = field(init=False, default_factory=dict)

    def add(self, cluster: str, transition: int) -> None:
        """Take an event of the log into account, in its order."""
        number, count = self._known.get(cluster, (0, 0))
        if transition > number:
            self._known[cluster] = (transition, 1)
        elif transition == number:
            self._known[cluster] = (number, count + 1)

    def of(self, cluster: str) -> tuple[int, int]:
        """Number in the journal of a cluster's last transition, 0 for none, and of its events in the log."""
        number, count = self._known.get(cluster, (0, 0))
        return (number, count) if number else (0, 0)


async def missing_events(journal: WorkflowJournal, known: LastTransitions) -> list[Event]:
    """Events of one cluster that its journal implies and the log of its workflow lacks, without numbers.

    Raises RefusedError for a journal that this version cannot read.
    """
    last, count = known.of(journal.cluster)
    missing: list[Event] = []
    machine: StateMachine | None = None

    def begin(automaton: Automaton) -> None:
        nonlocal machine
        if machine is None:
            machine = StateMachine(automaton)
        machine.automaton = automaton

    def apply(transition: Transition, number: int) -> None:
        if machine is not None:  # else the journal is of a version that did not write its automaton
            events = machine.apply(transition, number)[1]
            if number >= last:
                # Events are written in their order: those of one transition may have been cut in two.
                missing.extend(events[count if number == last else 0 :])

    await journal.replay(begin, apply, Memory(_keep_nothing))
    return missing


async def complete_log(store: Store, wid: str, clusters: Iterable[str], end: Event | None = None) -> int:
    """Add to the log of a dead workflow what is missing, then ``end``; returns how many events.

    Nobody else may write there: the caller has the leases of the workflow, or makes it nobody's. Done again,
    it adds nothing but ``end``. Raises RefusedError for a journal that this version cannot read.
    """
    event_log, known = WorkflowEventLog(store, wid), LastTransitions()
    async for document in event_log.documents():
        known.add(document.get("cluster", ""), document.get("transition", 0))
    last = await event_log.last()
    missing = [
        (event, cluster)
        for cluster in clusters
        for event in await missing_events(WorkflowJournal(store, wid, cluster), known)
    ]
    missing.sort(key=lambda pair: pair[0].transition)
    missing += [(end, "")] if end else []
    documents = [
        to_json(event.numbered(cluster, wid, number))
        for number, (event, cluster) in enumerate(missing, last + 1)
    ]
    for start in range(0, len(documents), BATCH):
        await event_log.append(last + 1 + start, documents[start : start + BATCH])
    return len(documents)


async def _keep_nothing(node: str, facts: NodeFacts) -> None:
    """Keep no facts: the journal has them."""
