# SPDX-License-Identifier: Apache-2.0
"""Names of macro-steps and instances, and what is meant by those that files and options give."""

from __future__ import annotations

from kadeploy.vocabulary.deployment import MACRO_STEPS
from kadeploy.vocabulary.instance import InstanceEntry
from kadeploy.vocabulary.power import POWER
from kadeploy.vocabulary.reboot import REBOOT

# Of all kinds of operations.
INSTANCES: dict[str, InstanceEntry] = {
    instance.name: instance for macro in (*MACRO_STEPS, REBOOT, POWER) for instance in macro.instances
}

# Of a deployment.
MACRO_STEP_NAMES = tuple(macro.name for macro in MACRO_STEPS)
INSTANCE_NAMES = {macro.name: tuple(instance.name for instance in macro.instances) for macro in MACRO_STEPS}

_ALIASES = {
    **{alias: macro.name for macro in MACRO_STEPS for alias in macro.aliases},
    **{alias: instance.name for instance in INSTANCES.values() for alias in instance.aliases},
}


def canonical(name: str) -> str:
    """Name that replaces an alias; any other name is returned as it is."""
    return _ALIASES.get(name, name)


def instances_of(name: str) -> tuple[InstanceEntry, ...]:
    """Instances of a deployment that the name of a macro-step or of an instance means; none if unknown."""
    name = canonical(name)
    for macro in MACRO_STEPS:
        if macro.name == name:
            return macro.instances
    return tuple(instance for macro in MACRO_STEPS for instance in macro.instances if instance.name == name)


def is_meant(name: str, instance: str) -> bool:
    """Check whether a name means an instance; one that is the same as another answers to both names."""
    wanted = INSTANCES[instance].bound_name
    return any(meant.bound_name == wanted for meant in instances_of(name))


def known_names() -> tuple[str, ...]:
    """Each macro-step of a deployment, followed by its instances."""
    return tuple(name for macro, instances in INSTANCE_NAMES.items() for name in (macro, *instances))
