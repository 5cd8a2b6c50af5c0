# SPDX-License-Identifier: Apache-2.0
"""Plans of power operations: checked requests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kadeploy.config.clusters import Node
from kadeploy.config.remote_operations import LEVELS, PowerAction
from kadeploy.config.site import Site
from kadeploy.errors import RefusedError
from kadeploy.operations import programs
from kadeploy.operations.minios import read_shared_key
from kadeploy.operations.plan import Plan, plan_clusters
from kadeploy.operations.power.request import PowerRequest
from kadeploy.operations.recipe import Recipes, resolve_single
from kadeploy.steps.facts import PowerFacts
from kadeploy.vocabulary.power import POWER


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerPlan(Plan[PowerFacts]):
    """Plan of a power operation."""

    request: PowerRequest

    def describe_request(self) -> dict[str, Any]:
        return self.request.to_json()


async def plan_power(site: Site, request: PowerRequest) -> PowerPlan:
    """Check everything that can be checked before a node is touched.

    Raises NotFoundError, and RefusedError where a cluster's file does not say how to do it.
    """
    nodes = site.find(request.nodes)

    async def make_facts(cluster: str, members: Sequence[Node]) -> PowerFacts:
        await asyncio.to_thread(
            programs.check_power, site, cluster, {PowerAction(f"power_{request.kind}"), PowerAction.STATUS}
        )
        return _facts(site, request, cluster, members)

    def make_recipes(facts: PowerFacts) -> Recipes:
        return resolve_single(POWER.name, f"{POWER.name}{request.kind.capitalize()}", facts)

    clusters = await plan_clusters(site, nodes, make_facts, make_recipes)
    return PowerPlan(site=site, request=request, nodes=tuple(nodes), clusters=clusters)


def _facts(site: Site, request: PowerRequest, name: str, nodes: Sequence[Node]) -> PowerFacts:
    cluster = site.clusters[name]
    if not getattr(cluster.remoteops, f"power_{request.kind}"):
        raise RefusedError(
            f"no power_{request.kind} is configured for cluster {name}",
            hint=f"give remoteops.power_{request.kind} in the cluster's file",
        )
    return PowerFacts(
        cluster_name=name,
        cluster=cluster,
        nodes={node.name: node for node in nodes},
        shared_key=read_shared_key(site, name) if cluster.remoteops.asks_system else "",
        level=request.level or LEVELS[0],
    )
