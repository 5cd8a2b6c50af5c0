# SPDX-License-Identifier: Apache-2.0
"""Nodes that no site has: as many as somebody wonders about, each like those of a planned cluster."""

from __future__ import annotations

from dataclasses import replace

from kadeploy.config.clusters import Node
from kadeploy.operations import automaton
from kadeploy.operations.base_plan import Part
from kadeploy.operations.plan import DeploymentPart, DeploymentPlan


def imagine(plan: DeploymentPlan, count: int) -> tuple[DeploymentPart, ...]:
    """The parts of a plan for ``count`` nodes instead of its own, spread over its clusters as those are.

    Raises RefusedError where a timeout has no value for so many nodes.
    """
    parts, before = [], 0
    for part in plan.parts:
        after = before + len(part.group.nodes)
        first, last = (count * border // len(plan.nodes) for border in (before, after))
        if last > first:
            parts.append(_enlarge(plan, part, last - first))
        before = after
    return tuple(parts)


def _enlarge(plan: DeploymentPlan, part: DeploymentPart, count: int) -> DeploymentPart:
    cluster = part.group.cluster
    names = tuple(f"{cluster}-imagined-{number}" for number in range(1, count + 1))
    deployment = replace(part.machines, nodes={name: Node(name, "", "", cluster) for name in names})
    request = plan.request
    steps = automaton.build(
        deployment, part.recipes, request.breakpoints, hold_failures=request.hold_failures
    )
    return Part(replace(part.group, nodes=names, automaton=steps), deployment, part.recipes)
