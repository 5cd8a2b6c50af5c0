# SPDX-License-Identifier: Apache-2.0
"""What the instances of one operation on one cluster are made of: the steps of each, none bypassed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kadeploy.config.automata import MACRO_STEPS, InstanceSetting
from kadeploy.config.expression import Expression
from kadeploy.errors import RefusedError
from kadeploy.operations.request import DeploymentRequest
from kadeploy.steps.catalogue import STEPS, Step
from kadeploy.steps.deployment import Deployment
from kadeploy.workflow.automaton import Position

KEXEC_REPLACEMENT_MARGIN = 200  # seconds above the reboot's own timeout (Kadeploy3)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One instance: its name, its settings, and the steps that it runs, in order."""

    name: str
    setting: InstanceSetting
    steps: tuple[Step[Any], ...]


@dataclass(frozen=True, slots=True)
class Recipes:
    """The recipes of an operation: maps each macro-step, in order, to those that are tried in order."""

    macrosteps: dict[str, tuple[Recipe, ...]]

    def step(self, position: Position) -> Step[Any]:
        """What is run at a position of the automaton that is made of these recipes."""
        recipes = tuple(self.macrosteps.values())[position.macro]
        return recipes[position.instance].steps[position.micro]


def resolve(deployment: Deployment, request: DeploymentRequest) -> Recipes:
    """The recipes of a deployment, by the settings of the user or else of the cluster."""
    settings = request.automaton or deployment.cluster.automata.macrosteps
    return Recipes(
        {
            macro: tuple(_recipe(deployment, macro, setting, request.kexec) for setting in settings.of(macro))
            for macro in MACRO_STEPS
        }
    )


def _recipe(deployment: Deployment, macro: str, setting: InstanceSetting, kexec: bool) -> Recipe:
    name = macro + setting.type
    if name == "BootNewEnvKexec" and not (kexec and can_kexec(deployment)):
        timeout = Expression(f"{deployment.cluster.timeouts.reboot} + {KEXEC_REPLACEMENT_MARGIN}")
        setting = setting.model_copy(update={"type": "Classical", "retries": 0, "timeout": timeout})
        name = macro + setting.type
    if unknown := {own.name for own in setting.microsteps} - {step.name for step in STEPS[name]}:
        raise RefusedError(
            f"{name} has no micro-step {', '.join(sorted(unknown))}, which the cluster's file sets"
        )
    return Recipe(name, setting, tuple(step for step in STEPS[name] if step.applies(deployment)))


def can_kexec(deployment: Deployment) -> bool:
    """Whether the miniOS can start the deployed kernel: a Linux on a file system that it can read."""
    return deployment.environment.os == "linux" and deployment.mountable
