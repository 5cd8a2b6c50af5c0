# SPDX-License-Identifier: Apache-2.0
"""Binding of the vocabulary to functions: what one has and the other lacks fails when it is imported."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from kadeploy.steps import catalogue
from kadeploy.steps.binding import Binding
from kadeploy.steps.catalogue import bind
from kadeploy.vocabulary.cause import Cause
from kadeploy.vocabulary.condition import Condition
from kadeploy.vocabulary.instance import InstanceEntry
from kadeploy.vocabulary.micro_step import MicroStepEntry
from kadeploy.vocabulary.names import INSTANCES
from kadeploy.vocabulary.scope import Scope

ALONE = MicroStepEntry("alone", Cause.DISK)
TOGETHER = MicroStepEntry("together", Cause.BROADCAST, scope=Scope.SET)
SOMETIMES = MicroStepEntry("sometimes", Cause.DISK, condition=Condition.KEYS)
ENTRIES = {"A": InstanceEntry("A", (ALONE, TOGETHER, SOMETIMES)), "B": InstanceEntry("B", (), same_as="A")}


async def run(*_: Any) -> None: ...


BOUND = Binding("A", {"alone": run, "sometimes": run}, {"together": run}, {Condition.KEYS: bool})


def test_everything_is_bound() -> None:
    assert bind([BOUND], ENTRIES, [Condition.KEYS]) == {"A": BOUND}


@pytest.mark.parametrize(
    ("bindings", "problem"),
    [
        ([], "no functions for A"),
        ([BOUND, BOUND], "A is bound twice"),
        ([BOUND, Binding("C")], "C is bound twice, or is not in the vocabulary"),
        ([replace(BOUND, nodes={"alone": run})], "no function for sometimes of A"),
        ([replace(BOUND, sets={})], "no function for together of A, whose scope is 'set'"),
        ([replace(BOUND, nodes={**BOUND.nodes, "other": run})], "a function for other of A"),
        ([replace(BOUND, sets={**BOUND.sets, "alone": run})], "has no such micro-step 'set'"),
        ([replace(BOUND, conditions={})], "no predicate for Condition.KEYS, which sometimes of A has"),
    ],
)
def test_differences_are_named(bindings: list[Binding[Any]], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        bind(bindings, ENTRIES, [])


def test_the_condition_of_an_instance_needs_a_predicate() -> None:
    replaced = InstanceEntry("C", (ALONE,), condition=Condition.KEXEC, otherwise="A")
    with pytest.raises(ValueError, match=r"^no predicate for Condition\.KEXEC, which C has$"):
        bind([BOUND, Binding("C", {"alone": run})], {**ENTRIES, "C": replaced}, [])


def test_a_condition_without_predicate_is_named() -> None:
    with pytest.raises(ValueError, match=r"no predicate for Condition\.TMP_FORMATTED"):
        bind([BOUND], ENTRIES, [Condition.TMP_FORMATTED])


def imported() -> ModuleType:
    """The catalogue, imported once more."""
    spec = importlib.util.find_spec(catalogue.__name__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_import_of_the_catalogue_binds_the_whole_vocabulary() -> None:
    assert list(imported().BOUND) == list(catalogue.BOUND)


def test_an_unbound_instance_fails_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(INSTANCES, "PowerCycle", InstanceEntry("PowerCycle", ()))
    with pytest.raises(ValueError, match="no functions for PowerCycle"):
        imported()


def test_a_name_without_function_and_a_function_without_name_fail_at_import(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = INSTANCES["PowerOn"]
    renamed = replace(entry, micro_steps=(replace(entry.micro_steps[0], name="switch_on"),))
    monkeypatch.setitem(INSTANCES, "PowerOn", renamed)
    with pytest.raises(ValueError, match=r"no function for switch_on of PowerOn.*a function for power_on of"):
        imported()


def test_an_unbound_condition_fails_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = INSTANCES["PowerOn"]
    conditional = replace(entry, micro_steps=(replace(entry.micro_steps[0], condition=Condition.KEYS),))
    monkeypatch.setitem(INSTANCES, "PowerOn", conditional)
    with pytest.raises(ValueError, match=r"no predicate for Condition\.KEYS, which power_on of PowerOn has"):
        imported()
