# SPDX-License-Identifier: Apache-2.0
"""One cluster's part of an operation while it is carried out: its engine, and what that has told."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from kadeploy.operations.observer import NodeResult
from kadeploy.operations.plan import Part
from kadeploy.operations.run.journal import WorkflowJournal
from kadeploy.operations.run.recorder import Recorder, place, reason
from kadeploy.store.receptions import Reception
from kadeploy.workflow.automaton import Automaton, Position
from kadeploy.workflow.driver import Driver
from kadeploy.workflow.events import Event, InstanceStarted, NodeEnded, Notice, StepStarted
from kadeploy.workflow.phase import Phase


@dataclass(slots=True)
class ClusterRun:
    """What one cluster's nodes are at.

    ``begun`` maps nodes to when they first began, in seconds since the epoch; ``ended`` those that have come
    to an end, and have not been resumed since, to that end; ``receptions`` nodes to their last broadcast.
    """

    part: Part[Any]
    driver: Driver
    recorder: Recorder
    journal: WorkflowJournal
    begun: dict[str, float] = field(default_factory=dict)
    ended: dict[str, NodeEnded] = field(default_factory=dict)
    receptions: dict[str, Reception] = field(default_factory=dict)

    def take(self, notice: Notice) -> None:
        """Note what the end needs."""
        self.recorder.observe(notice)
        if isinstance(notice, InstanceStarted):
            self.begun.setdefault(notice.node, notice.at)
        elif isinstance(notice, NodeEnded):
            self.ended[notice.node] = notice
        elif isinstance(notice, StepStarted):
            for node in notice.nodes:  # one that was held goes on
                self.ended.pop(node, None)

    async def replay(self) -> int:
        """Bring the engine to where the journal says that its predecessor was; the length of the journal."""

        state_machine = self.driver.state_machine

        def begin(automaton: Automaton) -> None:
            state_machine.automaton = automaton

        def apply(event: Event) -> None:
            for notice in state_machine.apply(event)[1]:
                self.take(notice)

        length = await self.journal.replay(begin, apply, self.part.machines.memory)
        state_machine.automaton = self.part.group.automaton  # for what begins now
        return length

    @property
    def unknown(self) -> list[str]:
        """The nodes that its predecessor was killed for before it could write that they begin."""
        return [name for name in self.part.group.nodes if name not in self.driver.state_machine.nodes]

    async def resume(self, names: Collection[str], start: Position | None) -> None:
        """Let some nodes go on to their ends; the others that have not ended are held."""
        members = [name for name in self.part.machines.nodes if name in names]
        if members or any(not node.phase.ended for node in self.driver.state_machine.nodes.values()):
            await self.driver.resume(members, start)

    def restore_profiles(self, names: Collection[str]) -> None:
        """Let nodes that failed before their disks were touched boot what they would have booted.

        None but these are looked at. Blocks on the disk.
        """
        machines = self.part.machines
        for name, ended in self.ended.items():
            node, facts = machines.nodes[name], machines.facts_of(machines.nodes[name])
            untouched = facts.profile_switched and not (facts.erased or facts.written)
            if name not in names or ended.phase not in (Phase.KO, Phase.ABORTED) or not untouched:
                continue
            if facts.previous_profile is None:
                machines.boot.remove_profile(node)
            else:
                machines.boot.write_profile(node, facts.previous_profile)

    def results(self) -> list[NodeResult]:
        """How it ended for every node that has ended."""
        return [self._result(ended) for ended in self.ended.values()]

    def _result(self, ended: NodeEnded) -> NodeResult:
        node = self.part.machines.nodes[ended.node]
        facts = self.part.machines.facts_of(node)
        return NodeResult(
            node=ended.node,
            phase=ended.phase,
            place=place(self.part.group.automaton, ended),
            reason=reason(ended.failure),
            evidence=ended.failure.evidence if ended.failure else "",
            cause=ended.failure.cause if ended.failure else "",
            host_keys=facts.host_keys,
            address=node.address,
            power=facts.power,
            reception=self.receptions.get(ended.node),
        )
