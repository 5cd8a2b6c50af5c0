# SPDX-License-Identifier: Apache-2.0
"""Recipes: the steps of each instance of one operation on one cluster, with custom ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kadeploy.config.automata import InstanceSetting, MacroSteps
from kadeploy.config.broadcast_methods import missing_settings
from kadeploy.config.cluster import ClusterConfig
from kadeploy.config.custom_operations import LISTS
from kadeploy.config.custom_steps import CustomSteps
from kadeploy.config.expression import Expression
from kadeploy.errors import RefusedError, RequestError, RequestProblem
from kadeploy.operations.customization import Customization
from kadeploy.operations.deploy.held_post_installs import with_holds
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.steps.catalogue import possible_instance, steps_of
from kadeploy.steps.facts import ClusterFacts, DeploymentFacts
from kadeploy.steps.step import NodeFunction, NodeStep, Step
from kadeploy.steps.workbench import DeploymentWorkbench
from kadeploy.vocabulary.deployment import BROADCAST_ENV, SET_DEPLOYMENT_ENV
from kadeploy.vocabulary.names import MACRO_STEP_NAMES, is_meant
from kadeploy.workflow.automaton import Position

REPLACEMENT_MARGIN = 200  # seconds of a reboot instead of a kexec above its own timeout (Kadeploy3)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One instance: its name, its settings, and the steps that it runs, in order."""

    name: str
    setting: InstanceSetting
    steps: tuple[Step[Any], ...]


@dataclass(frozen=True, slots=True)
class Recipes:
    """The recipes of an operation: maps each macro-step, in order, to those that are tried in order."""

    macrosteps: Mapping[str, tuple[Recipe, ...]]

    def step(self, position: Position) -> Step[Any]:
        """Step at a position of the automaton that is made of these recipes."""
        recipes = tuple(self.macrosteps.values())[position.macro]
        return recipes[position.instance].steps[position.micro]

    def all(self) -> Iterator[Recipe]:
        """The recipes of all macro-steps."""
        for recipes in self.macrosteps.values():
            yield from recipes

    def renewal(self) -> tuple[NodeFunction[DeploymentWorkbench], ...]:
        """Functions that make the target's file system, with the operations around them.

        A broadcast may repeat them.
        """
        first = self.macrosteps[SET_DEPLOYMENT_ENV.name][0]
        renewing = [step for step in first.steps if step.micro_step.renews_target]
        return tuple(step.function for step in renewing if isinstance(step, NodeStep))


def settings_of(request: DeploymentRequest, cluster: ClusterConfig) -> MacroSteps:
    """The instances that are tried, by the user's wish or else as the cluster has them."""
    return request.automaton or cluster.automata.macrosteps


def resolve(facts: DeploymentFacts, request: DeploymentRequest, customization: Customization) -> Recipes:
    """The recipes of a deployment; raises RefusedError where a custom operation cannot be carried out."""

    def recipe(macro: str, setting: InstanceSetting) -> Recipe:
        setting = _possible(facts, macro, setting)
        name = macro + setting.type
        steps = customization.apply(name, setting, steps_of(name, facts))
        return Recipe(name, setting, with_holds(steps, facts))

    settings = settings_of(request, facts.cluster)
    return Recipes(
        {macro: tuple(recipe(macro, setting) for setting in settings.of(macro)) for macro in MACRO_STEP_NAMES}
    )


def resolve_single(macro: str, instance: str, facts: ClusterFacts) -> Recipes:
    """The recipes of an operation of one instance, whose settings are the built-in ones."""
    setting = InstanceSetting(type=instance.removeprefix(macro))
    return Recipes({macro: (Recipe(instance, setting, steps_of(instance, facts)),)})


def check_all_used(steps: CustomSteps, recipes: Sequence[Recipes]) -> None:
    """Raises RequestError where an operation of the user's would run in no cluster.

    Kadeploy3 drops the operations around a bypassed micro-step without a word.
    """
    every = [recipe for of_cluster in recipes for recipe in of_cluster.all()]
    for name, micro, lists in steps.entries():
        meant = [recipe for recipe in every if is_meant(name, recipe.name)]
        run = {step.name: step for recipe in meant for step in recipe.steps}
        wanted = [f"{micro}-{operation.name}" for kind in LISTS for operation in lists.operations(kind)]
        if lost := [operation for operation in wanted if operation not in run]:
            what = f"its steps are {', '.join(run)}" if run else f"{name} is not one of its instances"
            message = f"{name} would never run {', '.join(lost)} in this deployment"
            raise RequestError([RequestProblem("custom_steps", message)], hint=f"{what}; `plan` shows all")


def _possible(facts: DeploymentFacts, macro: str, setting: InstanceSetting) -> InstanceSetting:
    """The setting itself, or that of the reboot which takes its place.

    Of the settings of its micro-steps, those that mean its own time do not suit a reboot. Raises RefusedError
    for a broadcast that lacks settings in the cluster's file.
    """
    instance = macro + setting.type
    if macro == BROADCAST_ENV.name and (missing := missing_settings(instance, facts.cluster)):
        raise RefusedError(
            f"cluster {facts.cluster_name} has no settings for {instance}",
            hint=f"it needs '{missing}' in the cluster's file",
        )
    possible = possible_instance(instance, facts)
    if possible == instance:
        return setting
    timeout = Expression(f"{facts.cluster.timeouts.reboot} + {REPLACEMENT_MARGIN}")
    none = {"timeout": Expression("0"), "retries": 0}
    microsteps = tuple(own.model_copy(update=none) for own in setting.microsteps)
    changes = {"type": possible.removeprefix(macro), "retries": 0, "timeout": timeout}
    return setting.model_copy(update={**changes, "microsteps": microsteps})
