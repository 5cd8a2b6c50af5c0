# SPDX-License-Identifier: Apache-2.0
"""Catalogue of the steps: it binds the names of the vocabulary to the functions of this room.

A module of this room that implements instances has a constant ``BINDINGS``. What the vocabulary and the
bindings do not agree on is an error when this module is imported.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kadeploy import steps
from kadeploy.steps.binding import Binding
from kadeploy.steps.facts import ClusterFacts
from kadeploy.steps.step import Step
from kadeploy.vocabulary.condition import Condition
from kadeploy.vocabulary.instance import InstanceEntry
from kadeploy.vocabulary.names import INSTANCES


def steps_of(instance: str, facts: ClusterFacts) -> tuple[Step[Any], ...]:
    """Steps of an instance that an operation runs on a cluster, in order."""
    entry = INSTANCES[instance]
    return tuple(BOUND[entry.bound_name].steps(entry, facts))


def possible_instance(instance: str, facts: ClusterFacts) -> str:
    """The instance, or the one that takes its place on a cluster whose facts do not meet its condition."""
    entry = INSTANCES[instance]
    return instance if BOUND[entry.bound_name].is_met(entry.condition, facts) else entry.otherwise


def bind(
    bindings: Iterable[Binding[Any]], entries: Mapping[str, InstanceEntry], conditions: Iterable[Condition]
) -> dict[str, Binding[Any]]:
    """Bindings by their instances; raises ValueError where one is missing, or differs from its entry."""
    found: dict[str, Binding[Any]] = {}
    problems: list[str] = []
    for binding in bindings:
        if binding.instance in found or binding.instance not in entries:
            problems.append(f"{binding.instance} is bound twice, or is not in the vocabulary")
        else:
            problems += binding.problems(entries[binding.instance])
        found[binding.instance] = binding
    for entry in entries.values():
        if entry.bound_name not in found:
            problems.append(f"no functions for {entry.bound_name}")
    bound = {condition for binding in found.values() for condition in binding.conditions}
    problems += [f"no predicate for {condition}" for condition in conditions if condition not in bound]
    if problems:
        raise ValueError("; ".join(problems))
    return found


def _discover() -> Iterator[Binding[Any]]:
    """Bindings of all modules of this room."""
    for module in pkgutil.iter_modules(steps.__path__, f"{steps.__name__}."):
        yield from getattr(importlib.import_module(module.name), "BINDINGS", ())


BOUND = bind(_discover(), INSTANCES, set(Condition) - {Condition.ALWAYS})
