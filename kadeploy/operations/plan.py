# SPDX-License-Identifier: Apache-2.0
"""Plans: requests that were checked, as values. What they need at work, an operation makes of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kadeploy.config.clusters import Node
from kadeploy.config.site import Site
from kadeploy.environments.local_file import LocalFile
from kadeploy.operations.automaton import build
from kadeploy.operations.recipe import Recipes
from kadeploy.operations.request import Request
from kadeploy.steps.custom_operation import CustomOperation
from kadeploy.steps.facts import ClusterFacts
from kadeploy.steps.step import Step
from kadeploy.workflow.automaton import Automaton
from kadeploy.workflow.goal import Goal

Facts = TypeVar("Facts", bound=ClusterFacts, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlan(Generic[Facts]):
    """Plan of one cluster: its nodes, their automaton, the recipes it is made of, the facts they go by.

    ``prefix`` marks its lines in logs. ``spares`` begin later, each when another node has failed.
    """

    cluster: str
    prefix: str
    nodes: tuple[str, ...]
    spares: tuple[str, ...] = ()
    automaton: Automaton
    recipes: Recipes
    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(ABC, Generic[Facts]):
    """Plan of an operation: the site as it was read, and a plan for each cluster."""

    site: Site
    request: Request
    nodes: tuple[Node, ...]
    clusters: tuple[ClusterPlan[Facts], ...]

    @property
    def spares(self) -> tuple[str, ...]:
        """Nodes that begin when others have failed, in the order in which they are taken."""
        return ()

    @property
    def enough(self) -> int:
        """Number of good nodes with which the operation has succeeded."""
        return len(self.request.nodes)

    @property
    def deadline(self) -> float:
        """Seconds after which the operation ends with the nodes that are good; 0 for none."""
        return 0.0

    @property
    def files(self) -> tuple[LocalFile, ...]:
        """Files of this machine that are sent to nodes."""
        return ()

    def make_goal(self) -> Goal:
        """Goal that a new engine pursues."""
        return Goal(len(self.request.nodes))

    @abstractmethod
    def describe_request(self) -> dict[str, Any]:
        """The request as the store keeps it, in JSON values."""

    def fingerprint(self) -> dict[str, Any]:
        """Fingerprint of nodes and steps, as JSON values: it must not change while a workflow is held."""
        return {
            "nodes": {plan.cluster: list(plan.facts.nodes) for plan in self.clusters},
            "steps": {
                plan.cluster: [
                    [recipe.name, *map(_fingerprint, recipe.steps)] for recipe in plan.recipes.all()
                ]
                for plan in self.clusters
            },
        }


def _fingerprint(step: Step[Any]) -> str:
    """Name of a step, and the digest of what it does where that is not the program's own."""
    function = step.function
    return f"{step.name} {function.digest}" if isinstance(function, CustomOperation) else step.name


async def plan_clusters(
    site: Site,
    nodes: Sequence[Node],
    make_facts: Callable[[str, Sequence[Node]], Awaitable[Facts]],
    make_recipes: Callable[[Facts], Recipes],
    *,
    spares: Sequence[str] = (),
    breakpoints: Sequence[str] = (),
    hold_failures: bool = False,
) -> tuple[ClusterPlan[Facts], ...]:
    """Plan each cluster of some nodes, in the order in which their first nodes are named.

    Raises RequestError for a breakpoint out of reach, and what ``make_facts`` and ``make_recipes`` raise.
    """
    spare_names = frozenset(spares)
    plans = []
    for cluster in dict.fromkeys(node.cluster for node in nodes):
        facts = await make_facts(cluster, [node for node in nodes if node.cluster == cluster])
        recipes = make_recipes(facts)
        plans.append(
            ClusterPlan(
                cluster=cluster,
                prefix=site.prefixes[cluster],
                nodes=tuple(name for name in facts.nodes if name not in spare_names),
                automaton=build(facts, recipes, breakpoints, hold_failures=hold_failures),
                spares=tuple(name for name in facts.nodes if name in spare_names),
                recipes=recipes,
                facts=facts,
            )
        )
    return tuple(plans)
