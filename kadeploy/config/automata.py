# SPDX-License-Identifier: Apache-2.0
"""Automata as administrators and users write them: instances of macro-steps with retries and timeouts.

``retries`` are attempts after the first one (Kadeploy3 since 3.1.6), ``timeout`` is in seconds of one
attempt, 0 for none. The tutorial's broadcast names stand for the chain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationInfo, ValidatorFunctionWrapHandler, field_validator

from kadeploy.config.custom_operations import OperationLists
from kadeploy.config.expression import Expression, TimeoutExpression
from kadeploy.config.placement import placement_problems
from kadeploy.config.problems import Problem, validate
from kadeploy.config.yaml_file import KEY, FileModel
from kadeploy.errors import RequestError, RequestProblem
from kadeploy.vocabulary.names import INSTANCE_NAMES, INSTANCES, MACRO_STEP_NAMES, canonical


class MicroStepSetting(OperationLists):
    """Settings of one micro-step of an instance, and operations around it.

    ``timeout`` in seconds, 0 for the built-in deadline; ``retries`` are attempts after the first.
    """

    name: str
    timeout: TimeoutExpression = Expression("0")
    retries: int = Field(default=0, ge=0)
    breakpoint: bool = False

    @classmethod
    def problems(cls, data: Mapping[Any, Any]) -> Iterator[Problem]:
        """Settings of a micro-step that does not run."""
        yield from super().problems(data)
        if data.get("substitute"):
            for key in data:
                if key in ("timeout", "retries", "breakpoint"):
                    yield (key, KEY), "the micro-step is substituted: give this to the operations"


class InstanceSetting(FileModel):
    """One implementation of a macro-step, by the suffix of its name (``Untrusted``) as in Kadeploy3."""

    type: str
    retries: int = Field(default=0, ge=0, le=100)
    timeout: TimeoutExpression = Expression("0")
    breakpoint: bool = False
    microsteps: tuple[MicroStepSetting, ...] = ()


class MacroSteps(FileModel):
    """The ordered instances of each macro-step; the next one is tried when the one before has failed."""

    SetDeploymentEnv: tuple[InstanceSetting, ...] = Field(
        default=(InstanceSetting(type="Untrusted", retries=2, timeout=Expression("500")),), min_length=1
    )
    BroadcastEnv: tuple[InstanceSetting, ...] = Field(
        default=(InstanceSetting(type="Chain", retries=2, timeout=Expression("1000")),), min_length=1
    )
    BootNewEnv: tuple[InstanceSetting, ...] = Field(
        default=(
            InstanceSetting(type="Classical", retries=0, timeout=Expression("500")),
            InstanceSetting(type="HardReboot", retries=1, timeout=Expression("500")),
        ),
        min_length=1,
    )

    @field_validator(*MACRO_STEP_NAMES, mode="wrap")
    @classmethod
    def _names_exist(cls, data: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        return validate(data, handler, _name_problems(info.field_name or "", data))

    def of(self, macro: str) -> tuple[InstanceSetting, ...]:
        """The instances of a macro-step by its name."""
        instances: tuple[InstanceSetting, ...] = getattr(self, macro)
        return instances


class Automata(FileModel):
    """The ``automata`` key of a cluster file."""

    macrosteps: MacroSteps = MacroSteps()


def check_instance(macro: str, instance: str) -> None:
    """Raises ValueError naming the right instances where ``instance`` is none of ``macro``."""
    if instance not in INSTANCE_NAMES[macro]:
        known = ", ".join(INSTANCE_NAMES[macro])
        raise ValueError(f"'{instance}' is no instance of {macro}; there are {known}")


def _name_problems(macro: str, data: Any) -> Iterator[Problem]:
    """Instances and micro-steps that do not exist, operations where a node is not in the miniOS."""
    for index, setting in _mappings(data):
        instance = f"{macro}{setting.get('type')}"
        if "type" in setting and instance not in INSTANCE_NAMES[macro]:
            known = ", ".join(INSTANCE_NAMES[macro])
            yield (index, "type"), f"'{instance}' is no instance; there are {known}"
        elif "type" in setting:
            for number, micro in _mappings(setting.get("microsteps")):
                for location, message in _micro_problems(instance, micro):
                    yield (index, "microsteps", number, *location), message


def _micro_problems(instance: str, setting: Mapping[Any, Any]) -> Iterator[Problem]:
    entry, name = INSTANCES[instance], str(setting.get("name"))
    if (step := entry.micro_step(name)) is not None:
        yield from placement_problems([step], setting)
    elif "name" in setting:
        known = ", ".join(step.name for step in entry.micro_steps)
        yield ("name",), f"'{name}' is no micro-step of {instance}; there are {known}"


def _mappings(data: Any) -> Iterator[tuple[int, Mapping[Any, Any]]]:
    """The mappings of a list, with their places."""
    for index, item in enumerate(data if isinstance(data, list) else ()):
        if isinstance(item, Mapping):
            yield index, item


def parse_force_steps(text: str) -> MacroSteps:
    """The automaton of ``--force-steps``.

    Grammar (Kadeploy3): ``SetDeploymentEnv|I:N:T[,I:N:T…]&BroadcastEnv|…&BootNewEnv|…`` with the full name
    of an instance, its retries after the first attempt and the timeout of an attempt in seconds. A trailing
    comma is tolerated. Raises RequestError with everything that is wrong.
    """
    sections = text.strip().split("&")
    problems: list[str] = []
    names = [canonical(section.partition("|")[0]) for section in sections]
    if tuple(names) != MACRO_STEP_NAMES:
        problems.append(
            f"wanted the macro-steps {' & '.join(MACRO_STEP_NAMES)} in this order, got {' & '.join(names)}"
        )
    settings: dict[str, Sequence[InstanceSetting]] = {}
    for name, section in zip(names, sections, strict=True):
        if name in MACRO_STEP_NAMES:
            settings[name] = _parse_instances(name, section.partition("|")[2], problems)
    if problems:
        raise RequestError(
            [RequestProblem("automaton", "; ".join(problems))],
            hint="write SetDeploymentEnv|SetDeploymentEnvUntrusted:1:450&"
            "BroadcastEnv|BroadcastEnvChain:1:1200&BootNewEnv|BootNewEnvClassical:1:400",
        )
    return _macro_steps(settings)


def _macro_steps(settings: Mapping[str, Sequence[InstanceSetting]]) -> MacroSteps:
    return MacroSteps.model_validate({name: tuple(instances) for name, instances in settings.items()})


def _parse_instances(macro: str, text: str, problems: list[str]) -> list[InstanceSetting]:
    instances = [_parse_instance(macro, item, problems) for item in text.removesuffix(",").split(",")]
    return [instance for instance in instances if instance is not None]


def _parse_instance(macro: str, item: str, problems: list[str]) -> InstanceSetting | None:
    name, *numbers = item.split(":")
    name = canonical(name)
    try:
        check_instance(macro, name)
    except ValueError as error:
        problems.append(str(error))
        return None
    if len(numbers) != 2 or not all(number.isascii() and number.isdigit() for number in numbers):
        problems.append(f"'{item}' is not {name}:RETRIES:TIMEOUT with two whole numbers")
        return None
    if int(numbers[0]) > 100 or int(numbers[1]) > 7 * 24 * 3600:
        problems.append(f"'{item}' asks for more than 100 retries or a timeout of more than a week")
        return None
    return InstanceSetting(
        type=name.removeprefix(macro), retries=int(numbers[0]), timeout=Expression(numbers[1])
    )
