# SPDX-License-Identifier: Apache-2.0
"""One cluster in an operation while that is carried out: its engine, its workbench, its results."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from kadeploy.boot.profile import SECRET_PLACE
from kadeploy.operations.plan import ClusterPlan
from kadeploy.operations.result import NodeResult
from kadeploy.operations.run.journal import WorkflowJournal
from kadeploy.operations.run.recorder import Recorder
from kadeploy.steps.facts import ClusterFacts
from kadeploy.steps.workbench import AnyWorkbench
from kadeploy.store.receptions import Reception
from kadeploy.workflow.automaton import Automaton
from kadeploy.workflow.engine import ClusterEngine
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from kadeploy.workflow.failure import reason
from kadeploy.workflow.phase import Phase
from kadeploy.workflow.transitions import Transition


@dataclass(slots=True)
class ClusterRun:
    """State of one cluster's nodes.

    ``begun`` maps nodes to when they first began, in seconds since the epoch; ``ended`` those that have come
    to an end, and have not been resumed since, to that end; ``receptions`` nodes to their last broadcast.
    """

    plan: ClusterPlan[ClusterFacts]
    workbench: AnyWorkbench
    recorder: Recorder
    journal: WorkflowJournal
    begun: dict[str, float] = field(default_factory=dict)
    ended: dict[str, Event] = field(default_factory=dict)
    receptions: dict[str, Reception] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Note everything of an event that the end needs."""
        self.recorder.take(event)
        match event.kind:
            case EventKind.INSTANCE_STARTED:
                self.begun.setdefault(event.node, event.at)
            case EventKind.NODE_ENDED:
                self.ended[event.node] = event
            case EventKind.STEP_STARTED:
                for node in event.nodes:  # one that was held continues
                    self.ended.pop(node, None)

    async def replay(self, engine: ClusterEngine) -> int:
        """Bring a new engine to the state of its predecessor; returns the length of the journal."""
        state_machine = engine.driver.state_machine

        def begin(automaton: Automaton) -> None:
            state_machine.automaton = automaton

        def apply(transition: Transition, number: int) -> None:
            for event in state_machine.apply(transition, number)[1]:
                self.take(event)

        length = await self.journal.replay(begin, apply, self.workbench.memory)
        state_machine.automaton = self.plan.automaton  # for what begins now
        return length

    async def restore_profiles(self, names: Collection[str]) -> None:
        """Order again what nodes that failed before their disks were touched had booted before.

        No other node than ``names`` is looked at.
        """
        workbench = self.workbench
        for name, ended in self.ended.items():
            node = self.plan.facts.nodes[name]
            facts = workbench.facts_of(node)
            untouched = facts.profile_switched and not (facts.erased or facts.written)
            if name not in names or ended.phase not in (Phase.KO, Phase.ABORTED) or not untouched:
                continue
            if (text := facts.previous_profile) is None:
                await workbench.orders.remove(name)
            else:
                path, secret_wanted = workbench.boot.profile_path(node), SECRET_PLACE in text
                await workbench.orders.place(node, path, text, secret_wanted=secret_wanted)

    def host_keys(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Keys by which those of some nodes that are this cluster's are recognised."""
        nodes = self.plan.facts.nodes
        return {name: self.workbench.facts_of(nodes[name]).host_keys for name in names if name in nodes}

    def results(self) -> list[NodeResult]:
        """Results of every node that has ended."""
        return [self._result(ended) for ended in self.ended.values()]

    def _result(self, ended: Event) -> NodeResult:
        failure, node = ended.failure, self.plan.facts.nodes[ended.node]
        facts = self.workbench.facts_of(node)
        return NodeResult(
            node=ended.node,
            phase=ended.phase,
            place=ended.place,
            reason=reason(failure),
            evidence=failure.evidence if failure else "",
            cause=failure.cause if failure else "",
            host_keys=facts.host_keys,
            proof=facts.minios_proof,
            minios_key=facts.minios_key if facts.minios_proof else "",
            address=node.address,
            power=facts.power,
            reception=self.receptions.get(ended.node),
        )
