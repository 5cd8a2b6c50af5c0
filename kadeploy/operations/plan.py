# SPDX-License-Identifier: Apache-2.0
"""The plan of an operation of any kind: its request, checked, and what each cluster does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kadeploy.config.clusters import Node
from kadeploy.operations.deploy.request import Request
from kadeploy.operations.observer import Group
from kadeploy.operations.recipe import Recipes
from kadeploy.remote.connection import NodeConnections
from kadeploy.steps.custom_operation import CustomOperation
from kadeploy.steps.step import Step
from kadeploy.steps.workbench import Workbench

Context = TypeVar("Context", bound=Workbench)


@dataclass(frozen=True, slots=True)
class Part(Generic[Context]):
    """What one cluster does in an operation; ``machines`` is what its steps share."""

    group: Group
    machines: Context
    recipes: Recipes


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Generic[Context]):
    """A request that can be carried out, in parts that each are one cluster's."""

    request: Request
    nodes: tuple[Node, ...]
    parts: tuple[Part[Context], ...]
    remote: NodeConnections

    def fingerprint(self) -> dict[str, Any]:
        """What must not change while a workflow is held, as JSON values: its nodes and steps."""
        return {
            "nodes": {part.group.cluster: list(part.machines.nodes) for part in self.parts},
            "steps": {
                part.group.cluster: [
                    [recipe.name, *map(_fingerprint, recipe.steps)] for recipe in part.recipes.all()
                ]
                for part in self.parts
            },
        }


def _fingerprint(step: Step[Any]) -> str:
    """A step's name, and what it does where that is not the program's own."""
    function = step.function
    return f"{step.name} {function.digest}" if isinstance(function, CustomOperation) else step.name
