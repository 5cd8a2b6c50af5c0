# SPDX-License-Identifier: Apache-2.0
"""Post-installs with the keyword ``breakpoint`` (Kadeploy 3.1) for a script: nodes are held behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from kadeploy.operations.customization import DeploymentStep
from kadeploy.steps.broadcast_env import run_post_installs
from kadeploy.steps.facts import DeploymentFacts, PostInstall
from kadeploy.steps.step import NodeStep


def with_holds(steps: Sequence[DeploymentStep], facts: DeploymentFacts) -> tuple[DeploymentStep, ...]:
    """The steps of an instance, with a breakpoint behind each archive that asks for one.

    A micro-step of several archives is divided there: an engine holds nodes between micro-steps only.
    """
    archives = {
        "manage_admin_post_install": facts.admin_archives,
        "manage_user_post_install": facts.user_archives,
    }
    held: list[DeploymentStep] = []
    holds = False
    for step in steps:
        for part in _divide(step, archives.get(step.name, ())):
            held.append(replace(part, breakpoint=True) if holds else part)
            holds = False
        holds = bool(archives.get(step.name)) and archives[step.name][-1].holds
    return tuple(held)


def _divide(step: DeploymentStep, archives: Sequence[PostInstall]) -> Iterator[DeploymentStep]:
    """Divide a micro-step of post-installs behind those that hold; the others are left as they are."""
    if not isinstance(step, NodeStep) or not any(archive.holds for archive in archives):
        yield step
        return
    for number, part in enumerate(_parts(archives), 1):
        yield replace(
            step,
            name=step.name if number == 1 else f"{step.name}-{number}",
            function=partial(run_post_installs, archives=part),
            breakpoint=number > 1,
        )


def _parts(archives: Sequence[PostInstall]) -> Iterator[Sequence[PostInstall]]:
    """Archives, divided behind each one that holds."""
    first = 0
    for end, archive in enumerate(archives, 1):
        if archive.holds or end == len(archives):
            yield archives[first:end]
            first = end
