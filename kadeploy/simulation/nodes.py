# SPDX-License-Identifier: Apache-2.0
"""Simulated nodes: any number, each like those of a planned cluster."""

from __future__ import annotations

from dataclasses import replace

from kadeploy.config.clusters import Node
from kadeploy.operations import automaton
from kadeploy.operations.deploy.plan import DeploymentClusterPlan, DeploymentPlan


def resize(plan: DeploymentPlan, count: int) -> DeploymentPlan:
    """Plan for ``count`` nodes instead of its own, spread over its clusters in proportion; spares stay.

    Raises RefusedError if a timeout has no value for so many nodes.
    """
    own, clusters, before = sum(len(cluster.nodes) for cluster in plan.clusters), [], 0
    for cluster in plan.clusters:
        after = before + len(cluster.nodes)
        first, last = (count * border // own for border in (before, after))
        clusters.append(_resize_cluster(plan, cluster, last - first))
        before = after
    names = tuple(name for cluster in clusters for name in cluster.nodes)
    nodes = tuple(node for cluster in clusters for node in cluster.facts.nodes.values())
    request = plan.request.changed({"nodes": names})
    return replace(plan, request=request, nodes=nodes, clusters=tuple(clusters))


def _resize_cluster(plan: DeploymentPlan, own: DeploymentClusterPlan, count: int) -> DeploymentClusterPlan:
    names = tuple(f"{own.cluster}-imagined-{number}" for number in range(1, count + 1))
    nodes = {name: Node(name, "", "", own.cluster) for name in names}
    spares = {name: own.facts.nodes[name] for name in own.spares}
    facts, request = replace(own.facts, nodes=nodes | spares), plan.request
    steps = automaton.build(facts, own.recipes, request.breakpoints, hold_failures=request.hold_failures)
    return replace(own, nodes=names, automaton=steps, facts=facts)
