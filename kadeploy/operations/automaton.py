# SPDX-License-Identifier: Apache-2.0
"""The automaton of one operation on one cluster: its recipes with their deadlines and breakpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kadeploy.config.automata import InstanceSetting
from kadeploy.errors import RefusedError, RequestError, RequestProblem
from kadeploy.operations.recipe import Recipe, Recipes
from kadeploy.steps.facts import ClusterFacts
from kadeploy.steps.step import SetStep, Step
from kadeploy.vocabulary.deployment import BOOT_NEW_ENV
from kadeploy.vocabulary.names import INSTANCES, instances_of, is_meant, known_names
from kadeploy.vocabulary.scope import Scope
from kadeploy.workflow.automaton import Automaton, Gathering, Instance, MacroStep, MicroStep, Position


def build(
    facts: ClusterFacts, recipes: Recipes, breakpoints: Sequence[str], *, hold_failures: bool
) -> Automaton:
    """The automaton; raises RequestError for a breakpoint out of reach."""
    macrosteps = tuple(
        MacroStep(macro, tuple(_instance(recipe) for recipe in instances))
        for macro, instances in recipes.macrosteps.items()
    )
    gather = facts.cluster.gather
    gathering = Gathering(gather.quorum, gather.grace, gather.least)
    automaton = Automaton(macrosteps, gathering, hold_failures)
    _check_timeouts(automaton, len(facts.nodes))
    _check_settling(recipes, automaton, facts.cluster.verify.settle, len(facts.nodes))
    for breakpoint in breakpoints:
        automaton = _with_breakpoint(automaton, breakpoint)
    return automaton


def _instance(recipe: Recipe) -> Instance:
    setting = recipe.setting
    steps = [_microstep(step, setting) for step in recipe.steps]
    if setting.breakpoint:
        steps[0] = replace(steps[0], breakpoint=True)
    return Instance(recipe.name, tuple(steps), setting.timeout, setting.retries)


def _check_timeouts(automaton: Automaton, count: int) -> None:
    """Check that expressions give seconds for any number of nodes, and that no micro-step waits for ever."""
    for instance in (instance for macro in automaton.macrosteps for instance in macro.instances):
        limits = [(instance.name, instance.timeout), *((s.name, s.timeout) for s in instance.microsteps)]
        for name, timeout in limits:
            try:
                seconds = min(timeout.seconds(n) for n in range(1, count + 1))
            except ValueError as error:
                raise RefusedError(f"the timeout '{timeout}' of {name} is wrong: {error}") from None
            if not seconds and name != instance.name:
                raise RefusedError(f"the timeout '{timeout}' of {name} is 0 for some number of nodes")


def _check_settling(recipes: Recipes, automaton: Automaton, settle: float, count: int) -> None:
    """Check that a deployed system can go on answering for as long as it must before its step's deadline.

    Else disks would be erased in vain; a reboot, whose deadline a user may choose, costs nothing of the kind.
    """
    instances = [
        i for macro in automaton.macrosteps if macro.name == BOOT_NEW_ENV.name for i in macro.instances
    ]
    for recipe, instance in zip(recipes.macrosteps.get(BOOT_NEW_ENV.name, ()), instances, strict=True):
        for step, micro in zip(recipe.steps, instance.microsteps, strict=True):
            if not step.micro_step.settles or step.name != step.micro_step.name:
                continue
            seconds = min(micro.timeout.seconds(n) for n in range(1, count + 1))
            if settle >= seconds:
                raise RefusedError(
                    f"{step.name} of {instance.name} has {seconds:g} s, in which no system can go on "
                    f"answering for {settle:g} s",
                    hint="lessen verify.settle in the cluster's file, or give that step more time",
                )


def _microstep(step: Step[Any], setting: InstanceSetting) -> MicroStep:
    scope = Scope.SET if isinstance(step, SetStep) else Scope.NODE
    micro = MicroStep(step.name, scope, step.timeout, step.restart, step.retries, step.breakpoint)
    own = next((own for own in setting.microsteps if own.name == step.name), None)
    if own is None:
        return micro
    timeout = own.timeout if own.timeout.seconds(1) else micro.timeout
    held = own.breakpoint or step.breakpoint
    return replace(micro, timeout=timeout, retries=own.retries, breakpoint=held)


def _with_breakpoint(automaton: Automaton, text: str) -> Automaton:
    """The automaton with a breakpoint at ``Macro`` or ``Macro:micro``; Macro may be an instance."""
    name, _, micro = text.partition(":")
    meant = _instances_meant(automaton, name)
    held = {instance.name: _hold(instance, micro) for instance in meant if not micro or _has(instance, micro)}
    if not held:
        raise _no_breakpoint(
            f"{meant[0].name} does not run '{micro}' in this deployment", _what_runs_instead(meant[0], micro)
        )
    macrosteps = [
        replace(macro, instances=tuple(held.get(instance.name, instance) for instance in macro.instances))
        for macro in automaton.macrosteps
    ]
    return replace(automaton, macrosteps=tuple(macrosteps))


def _instances_meant(automaton: Automaton, name: str) -> list[Instance]:
    """The instances of the automaton that a breakpoint's name means; raises RequestError without any."""
    if not instances_of(name):
        raise _no_breakpoint(f"'{name}' is no macro-step", f"there are {', '.join(known_names())}")
    every = [instance for macro in automaton.macrosteps for instance in macro.instances]
    meant = [instance for instance in every if is_meant(name, instance.name)]
    if not meant:
        used = ", ".join(instance.name for instance in every)
        raise _no_breakpoint(f"{name} is not used in this deployment", f"it uses {used}")
    return meant


def _no_breakpoint(message: str, hint: str) -> RequestError:
    return RequestError([RequestProblem("breakpoints", message)], hint=hint)


def _what_runs_instead(instance: Instance, micro: str) -> str:
    """The micro-step behind one that is bypassed, or all there are."""
    names = [step.name for step in instance.microsteps]
    all_names = [step.name for step in INSTANCES[instance.name].micro_steps]
    if micro in all_names:
        for following in all_names[all_names.index(micro) :]:
            if following in names:
                return f"it is bypassed; the next one that runs is {following}"
    return f"it runs {', '.join(names)}"


def find_position(automaton: Automaton, text: str) -> Position | None:
    """Position of ``Macro`` or ``Macro:micro``; None for ''. Raises RequestError where there is none."""
    if not text:
        return None
    name, _, micro = text.partition(":")
    for macro_index, macro in enumerate(automaton.macrosteps):
        for index, instance in enumerate(macro.instances):
            if is_meant(name, instance.name) and (not micro or _has(instance, micro)):
                names = [step.name for step in instance.microsteps]
                return Position(macro_index, index, names.index(micro) if micro else 0)
    raise RequestError([RequestProblem("start", f"this workflow does not run {text}")])


def _has(instance: Instance, micro: str) -> bool:
    return any(step.name == micro for step in instance.microsteps)


def _hold(instance: Instance, micro: str) -> Instance:
    index = [step.name for step in instance.microsteps].index(micro) if micro else 0
    steps = list(instance.microsteps)
    steps[index] = replace(steps[index], breakpoint=True)
    return replace(instance, microsteps=tuple(steps))
