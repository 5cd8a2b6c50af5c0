# SPDX-License-Identifier: Apache-2.0
"""File of ``--custom-steps``: macro-step or instance -> micro-step -> operations around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, ModelWrapValidatorHandler, RootModel, model_validator

from kadeploy.config.custom_operations import OperationLists
from kadeploy.config.placement import placement_problems
from kadeploy.config.problems import Problem, validate
from kadeploy.config.yaml_file import KEY, load_file
from kadeploy.vocabulary.instance import InstanceEntry
from kadeploy.vocabulary.names import instances_of, known_names


class CustomOperations(OperationLists):
    """Operations around a micro-step; ``override``: they replace those of the cluster's file, else follow."""

    override: bool = False


class CustomSteps(RootModel[dict[str, dict[str, CustomOperations]]]):
    """Map of macro-steps or instances to micro-steps, and of these to operations; in the file's order."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return validate(data, handler, _problems(data) if isinstance(data, Mapping) else ())

    def entries(self) -> Iterator[tuple[str, str, CustomOperations]]:
        """Entries: each name and micro-step with its operations."""
        for name, micros in self.root.items():
            for micro, operations in micros.items():
                yield name, micro, operations


def load(path: Path) -> CustomSteps:
    """Read a file; raises NotFoundError if it cannot be read, FileError with all its problems."""
    return load_file(path, CustomSteps)


def _problems(data: Mapping[Any, Any]) -> Iterator[Problem]:
    """Problems: names that do not exist, and lists around which a node is not in the miniOS."""
    for name, micros in data.items():
        meant = instances_of(str(name))
        if not meant:
            yield (str(name), KEY), f"no macro-step and no instance; there are {', '.join(known_names())}"
        elif isinstance(micros, Mapping):
            for micro, lists in micros.items():
                for location, message in _micro_problems(str(name), meant, str(micro), lists):
                    yield (str(name), str(micro), *location), message


def _micro_problems(name: str, meant: tuple[InstanceEntry, ...], micro: str, lists: Any) -> Iterator[Problem]:
    steps = [step for instance in meant if (step := instance.micro_step(micro)) is not None]
    if not steps:
        known = dict.fromkeys(step.name for instance in meant for step in instance.micro_steps)
        yield (KEY,), f"no micro-step of {name}; there are {', '.join(known)}"
    elif isinstance(lists, Mapping):
        yield from placement_problems(steps, lists)
