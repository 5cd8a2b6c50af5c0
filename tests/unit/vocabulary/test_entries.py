# SPDX-License-Identifier: Apache-2.0
"""Entries of the vocabulary, and names that mean them."""

from __future__ import annotations

from typing import Any

import pytest

from kadeploy.vocabulary import names
from kadeploy.vocabulary.cause import Cause
from kadeploy.vocabulary.condition import Condition
from kadeploy.vocabulary.deployment import MACRO_STEPS
from kadeploy.vocabulary.instance import InstanceEntry, MacroStepEntry
from kadeploy.vocabulary.micro_step import MicroStepEntry

FIRST, SECOND = MicroStepEntry("first", Cause.DISK), MicroStepEntry("second", Cause.DISK, restart="first")


@pytest.mark.parametrize("steps", [(FIRST, FIRST), (SECOND, FIRST), (MicroStepEntry("a-b", Cause.DISK),)])
def test_micro_steps_that_contradict_each_other(steps: tuple[MicroStepEntry, ...]) -> None:
    with pytest.raises(ValueError, match="Instance: "):
        InstanceEntry("Instance", steps)


@pytest.mark.parametrize("given", [{"condition": Condition.KEXEC}, {"otherwise": "Other"}])
def test_a_condition_and_what_runs_without_it_go_together(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Instance: "):
        InstanceEntry("Instance", (FIRST,), **given)


@pytest.mark.parametrize("macro", MACRO_STEPS, ids=lambda macro: macro.name)
def test_instances_are_replaced_by_unconditional_ones_of_their_macro_step(macro: MacroStepEntry) -> None:
    unconditional = {instance.name for instance in macro.instances if not instance.otherwise}
    assert {instance.otherwise for instance in macro.instances} - {""} <= unconditional


def test_micro_steps_in_order() -> None:
    entry = InstanceEntry("Instance", (FIRST, SECOND))
    assert (entry.micro_step("second"), entry.micro_step("third")) == (SECOND, None)


@pytest.mark.parametrize("entry", names.INSTANCES.values(), ids=lambda entry: entry.name)
def test_an_instance_that_is_the_same_as_another_has_its_micro_steps(entry: InstanceEntry) -> None:
    assert names.INSTANCES[entry.bound_name].micro_steps is entry.micro_steps
    assert not names.INSTANCES[entry.bound_name].same_as


def test_instances_are_named_behind_their_macro_step() -> None:
    for macro in MACRO_STEPS:
        assert all(instance.name.startswith(macro.name) for instance in macro.instances)


@pytest.mark.parametrize(
    ("name", "instance", "is_meant"),
    [
        ("BroadcastEnv", "BroadcastEnvKascade", True),
        ("BroadcastEnvChain", "BroadcastEnvKascade", True),
        ("BroadcastEnvKastafior", "BroadcastEnvKascade", True),
        ("BroadcastEnvKascade", "BroadcastEnvChain", True),
        ("BroadcastEnvTree", "BroadcastEnvChain", False),
        ("BootNewEnv", "BroadcastEnvChain", False),
        ("SetDeploymentMiniOS", "SetDeploymentEnvUntrusted", True),
        ("SetDeploymentMiniOSUntrusted", "SetDeploymentEnvUntrusted", True),
        ("RebootSimple", "SetDeploymentEnvUntrusted", False),
        ("", "SetDeploymentEnvUntrusted", False),
    ],
)
def test_names(name: str, instance: str, is_meant: bool) -> None:
    assert names.is_meant(name, instance) is is_meant


def test_reboots_and_power_operations_are_not_named_by_users_of_deployments() -> None:
    assert names.instances_of("RebootSimple") == names.instances_of("Power") == ()
    assert names.known_names()[:3] == ("SetDeploymentEnv", "SetDeploymentEnvUntrusted", "BroadcastEnv")
