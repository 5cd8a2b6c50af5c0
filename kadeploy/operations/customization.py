# SPDX-License-Identifier: Apache-2.0
"""Custom operations become micro-steps: the administrator's and the user's, around those of the catalogue."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from kadeploy.config.automata import InstanceSetting, MacroSteps
from kadeploy.config.custom_operations import LISTS, CustomOperationSetting, List
from kadeploy.config.custom_steps import CustomSteps
from kadeploy.config.expression import Expression
from kadeploy.config.placement import can_be_put
from kadeploy.config.site import Site
from kadeploy.environments import script
from kadeploy.errors import RefusedError
from kadeploy.operations.deploy.operation_files import locate
from kadeploy.steps.custom_operation import (
    OPERATION_TIMEOUT,
    CustomOperation,
    Execute,
    File,
    RunScript,
    Send,
    destination_problem,
    substitute,
)
from kadeploy.steps.facts import DeploymentFacts
from kadeploy.steps.step import NodeStep, Step
from kadeploy.steps.workbench import DeploymentWorkbench
from kadeploy.vocabulary.cause import Cause
from kadeploy.vocabulary.micro_step import MicroStepEntry
from kadeploy.vocabulary.names import MACRO_STEP_NAMES, is_meant

DeploymentStep = Step[DeploymentWorkbench]
Lists = Mapping[List, tuple[CustomOperationSetting, ...]]


@dataclass(frozen=True, slots=True)
class Customization:
    """Custom steps of a deployment, and the ``files`` of all custom operations by location."""

    site: Site
    facts: DeploymentFacts
    steps: CustomSteps
    files: Mapping[str, File]

    def apply(
        self, instance: str, setting: InstanceSetting, steps: Sequence[DeploymentStep]
    ) -> tuple[DeploymentStep, ...]:
        """The steps of an instance with the operations around them.

        Raises RefusedError where two operations would be the same micro-step, or one cannot be carried out.
        """
        groups = [
            (step, self._group(step, self._lists(instance, setting, step.micro_step))) for step in steps
        ]
        customized = _with_restarts(groups)
        for name, count in Counter(step.name for step in customized).items():
            if count > 1:
                raise RefusedError(
                    f"{instance} would run {count} operations that are called {name}",
                    hint="give yours another name, or 'override: true' to replace the cluster's",
                )
        return customized

    def _lists(self, instance: str, setting: InstanceSetting, micro: MicroStepEntry) -> Lists:
        """The operations that count around a micro-step of an instance; the cluster's come first."""
        own = [lists for lists in setting.microsteps if lists.name == micro.name]
        entries = [
            lists
            for name, step, lists in self.steps.entries()
            if step == micro.name and is_meant(name, instance)
        ]
        found: dict[List, tuple[CustomOperationSetting, ...]] = {}
        for name in LISTS:
            overridden = any(lists.override and lists.gives(name) for lists in entries)
            counting = entries if overridden else [*own, *entries]
            if can_be_put(micro, name):
                found[name] = tuple(operation for lists in counting for operation in lists.operations(name))
        return found

    def _group(self, step: DeploymentStep, lists: Lists) -> list[DeploymentStep]:
        before, instead, after = (
            [self._step(step.micro_step, operation) for operation in lists.get(name, ())]
            for name in ("pre-ops", "substitute", "post-ops")
        )
        return [*before, *(instead or [step]), *after]

    def _step(self, micro: MicroStepEntry, operation: CustomOperationSetting) -> DeploymentStep:
        name = f"{micro.name}-{operation.name}"  # as Kadeploy3 shows it
        own = operation.timeout.seconds(1)
        return NodeStep(
            name=name,
            micro_step=micro,
            cause=Cause.CUSTOM,
            timeout=operation.timeout if own else Expression(f"{OPERATION_TIMEOUT:g}"),
            restart=name,
            retries=operation.retries,
            function=self._action(name, operation),
        )

    def _action(self, name: str, operation: CustomOperationSetting) -> CustomOperation:
        match operation.action:
            case "exec":
                return Execute(operation.command)
            case "send":
                problem = destination_problem(self._substitute(name, operation.destination))
                if problem:
                    raise RefusedError(f"the destination '{operation.destination}' of {name} {problem}")
                return Send(self._file(operation), operation.destination)
            case "run":
                for word in shlex.split(operation.params):
                    self._substitute(name, word)
                file = self._file(operation)
                if problem := script.problem(file.content[: script.HEAD]):
                    raise RefusedError(f"{file.name}, which {name} runs, {problem}", hint=script.AS_UNIX)
                return RunScript(file, operation.params)

    def _file(self, operation: CustomOperationSetting) -> File:
        return self.files[locate(operation, self.site)]

    def _substitute(self, name: str, text: str) -> str:
        """Text with the values of its variables on one node; only KADEPLOY_NODE differs on others."""
        variables = self.facts.variables(next(iter(self.facts.nodes.values())))
        try:
            return substitute(text, variables)
        except KeyError as error:
            raise RefusedError(
                f"{name} uses the variable {error.args[0]}, which does not exist",
                hint=f"there are {', '.join(sorted(variables))}",
            ) from None


def operations(steps: CustomSteps, settings: Iterable[MacroSteps]) -> Iterator[CustomOperationSetting]:
    """Operations of the user and of the clusters, also those that will not run."""
    own = (setting for macros in settings for macro in MACRO_STEP_NAMES for setting in macros.of(macro))
    of_clusters = (lists for setting in own for lists in setting.microsteps)
    of_user = (lists for _, _, lists in steps.entries())
    for lists in (*of_clusters, *of_user):
        for name in LISTS:
            yield from lists.operations(name)


def _with_restarts(
    groups: Sequence[tuple[DeploymentStep, Sequence[DeploymentStep]]],
) -> tuple[DeploymentStep, ...]:
    """The steps of all groups; where a killed engine's successor begins again.

    An operation is repeated as a step at its place would be: from itself, or, around a step that may not be
    repeated on what it has left, from where that one is redone, operations before that place included.
    """
    beginnings = {step.name: group[0].name for step, group in groups}
    return tuple(
        replace(member, restart=member.name if step.restart == step.name else beginnings[step.restart])
        for step, group in groups
        for member in group
    )
