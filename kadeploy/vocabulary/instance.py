# SPDX-License-Identifier: Apache-2.0
"""Entries of instances, and of the macro-steps that they implement."""

from __future__ import annotations

from dataclasses import dataclass

from kadeploy.vocabulary.condition import Condition
from kadeploy.vocabulary.micro_step import MicroStepEntry


@dataclass(frozen=True, slots=True)
class InstanceEntry:
    """Instance of a macro-step: its micro-steps in order.

    ``aliases`` are further names, which are replaced by its own wherever they are read. An instance that is
    ``same_as`` another one keeps its own name in the output and runs the functions of the other one.
    The instance ``otherwise`` takes its place where its ``condition`` is not met. ``remark`` is for lists of
    instances. Raises ValueError for micro-steps that contradict each other, and where only one of
    ``condition`` and ``otherwise`` is given.
    """

    name: str
    micro_steps: tuple[MicroStepEntry, ...]
    aliases: tuple[str, ...] = ()
    same_as: str = ""
    condition: Condition = Condition.ALWAYS
    otherwise: str = ""
    remark: str = ""

    def __post_init__(self) -> None:
        if (self.condition is Condition.ALWAYS) != (not self.otherwise):
            raise ValueError(f"{self.name}: a condition and the instance that runs without it go together")
        seen: set[str] = set()
        for step in self.micro_steps:
            if step.name in seen or "-" in step.name:  # a dash parts custom operations from micro-steps
                raise ValueError(f"{self.name}: the name {step.name} is there twice, or has a dash")
            if step.restart and step.restart not in seen:
                raise ValueError(f"{self.name}: no micro-step {step.restart} before {step.name}")
            seen.add(step.name)

    @property
    def bound_name(self) -> str:
        """Name of the instance to whose micro-steps ``steps/`` binds functions."""
        return self.same_as or self.name

    def micro_step(self, name: str) -> MicroStepEntry | None:
        """Micro-step of a name, if there is one."""
        return next((step for step in self.micro_steps if step.name == name), None)

    @property
    def summary(self) -> str:
        """Name and remark, for lists of instances."""
        remark = f"the same as {self.same_as}" if self.same_as else self.remark
        return f"{self.name} ({remark})" if remark else self.name


@dataclass(frozen=True, slots=True)
class MacroStepEntry:
    """Macro-step and its instances; ``aliases`` are further names of it."""

    name: str
    instances: tuple[InstanceEntry, ...]
    aliases: tuple[str, ...] = ()
