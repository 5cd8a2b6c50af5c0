# SPDX-License-Identifier: Apache-2.0
"""Simulated nodes: any number, each like those of a planned cluster."""

from __future__ import annotations

from dataclasses import replace

from kadeploy.config.clusters import Node
from kadeploy.operations import automaton
from kadeploy.operations.deploy.plan import DeploymentPart, DeploymentPlan
from kadeploy.operations.plan import Part


def imagine(plan: DeploymentPlan, count: int) -> DeploymentPlan:
    """Plan for ``count`` nodes instead of its own, spread over its clusters in proportion; spares stay.

    Raises RefusedError if a timeout has no value for so many nodes.
    """
    own, parts, before = sum(len(part.group.nodes) for part in plan.parts), [], 0
    for part in plan.parts:
        after = before + len(part.group.nodes)
        first, last = (count * border // own for border in (before, after))
        parts.append(_enlarge(plan, part, last - first))
        before = after
    names = tuple(name for part in parts for name in part.group.nodes)
    nodes = tuple(node for part in parts for node in part.machines.nodes.values())
    return replace(plan, request=replace(plan.request, nodes=names), nodes=nodes, parts=tuple(parts))


def _enlarge(plan: DeploymentPlan, part: DeploymentPart, count: int) -> DeploymentPart:
    cluster = part.group.cluster
    names = tuple(f"{cluster}-imagined-{number}" for number in range(1, count + 1))
    nodes = {name: Node(name, "", "", cluster) for name in names}
    spares = {name: part.machines.nodes[name] for name in part.group.spares}
    deployment, request = replace(part.machines, nodes=nodes | spares), plan.request
    steps = automaton.build(
        deployment, part.recipes, request.breakpoints, hold_failures=request.hold_failures
    )
    return Part(replace(part.group, nodes=names, automaton=steps), deployment, part.recipes)
