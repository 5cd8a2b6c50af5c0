# SPDX-License-Identifier: Apache-2.0
"""Bindings: the functions that carry out the micro-steps of an instance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic

from kadeploy.config.cluster import ClusterConfig
from kadeploy.config.expression import Expression
from kadeploy.steps.facts import ClusterFacts
from kadeploy.steps.step import Context, NodeFunction, NodeStep, SetFunction, SetStep, Step
from kadeploy.vocabulary.condition import Condition
from kadeploy.vocabulary.instance import InstanceEntry
from kadeploy.vocabulary.micro_step import ClusterTimeout, MicroStepEntry
from kadeploy.vocabulary.scope import Scope

Predicate = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Binding(Generic[Context]):
    """Functions of the micro-steps of one instance, by their names.

    ``nodes`` are those of node-scoped micro-steps, ``sets`` of set-scoped ones. ``conditions`` has a
    predicate for each condition that the instance and its micro-steps have.
    """

    instance: str
    nodes: Mapping[str, NodeFunction[Context]] = field(default_factory=dict)
    sets: Mapping[str, SetFunction[Context]] = field(default_factory=dict)
    conditions: Mapping[Condition, Predicate] = field(default_factory=dict)

    def problems(self, entry: InstanceEntry) -> Iterator[str]:
        """Differences from the entry of the instance, each as a sentence."""
        scoped = {Scope.NODE: self.nodes, Scope.SET: self.sets}
        if not self._knows(entry.condition):
            yield f"no predicate for {entry.condition}, which {self.instance} has"
        for step in entry.micro_steps:
            if step.name not in scoped[step.scope]:
                yield f"no function for {step.name} of {self.instance}, whose scope is '{step.scope}'"
            if not self._knows(step.condition):
                yield f"no predicate for {step.condition}, which {step.name} of {self.instance} has"
        names = {(step.scope, step.name) for step in entry.micro_steps}
        for scope, functions in scoped.items():
            for name in functions:
                if (scope, name) not in names:
                    yield f"a function for {name} of {self.instance}, which has no such micro-step '{scope}'"

    def steps(self, entry: InstanceEntry, facts: ClusterFacts) -> Iterator[Step[Context]]:
        """Steps that run on a cluster, without those that its facts bypass."""
        for step in entry.micro_steps:
            if self.is_met(step.condition, facts):
                yield self._step(step, facts.cluster)

    def is_met(self, condition: Condition, facts: ClusterFacts) -> bool:
        """Check a condition of the instance, or of one of its micro-steps."""
        return condition is Condition.ALWAYS or self.conditions[condition](facts)

    def _knows(self, condition: Condition) -> bool:
        return condition is Condition.ALWAYS or condition in self.conditions

    def _step(self, step: MicroStepEntry, cluster: ClusterConfig) -> Step[Context]:
        timeout, restart = _deadline(step, cluster), step.restart or step.name
        if step.scope is Scope.SET:
            return SetStep(
                name=step.name,
                micro_step=step,
                cause=step.cause,
                timeout=timeout,
                restart=restart,
                throttled=step.throttled,
                function=self.sets[step.name],
            )
        return NodeStep(
            name=step.name,
            micro_step=step,
            cause=step.cause,
            timeout=timeout,
            restart=restart,
            throttled=step.throttled,
            function=self.nodes[step.name],
        )


def _deadline(step: MicroStepEntry, cluster: ClusterConfig) -> Expression:
    match step.timeout:
        case ClusterTimeout.REBOOT:
            return cluster.timeouts.reboot
        case ClusterTimeout.KEXEC:
            return cluster.timeouts.kexec
        case seconds:
            return Expression(f"{seconds:g}")
