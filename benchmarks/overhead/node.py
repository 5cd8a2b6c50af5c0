# SPDX-License-Identifier: Apache-2.0
"""The only node of the benchmark's lab, and how much of the processors it has used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import processors
from benchmarks.lab import Lab
from kadeploy.config import namespace
from kadeploy.lab import driver
from kadeploy.lab.plan import LabPlan


@dataclass(frozen=True, slots=True)
class MeasuredNode:
    """The node of a lab that is up."""

    lab: Lab
    plan: LabPlan

    @property
    def name(self) -> str:
        return self.plan.nodes[0].name

    @property
    def address(self) -> str:
        return self.plan.nodes[0].address

    def power_off(self) -> None:
        """Switch the machine off: every run begins so, with new processes."""
        self.lab.kalab("power", self.name, "off")

    def inside(self, arguments: Sequence[str]) -> list[str]:
        """The command line that runs ``arguments`` in the lab's network."""
        return ["nsenter", f"--net={namespace.DIRECTORY / self.plan.namespace}", *arguments]

    def processor_seconds(self) -> float:
        """Processor seconds that the machine has used since it was switched on; 0 while it is off."""
        processes = driver.named(self.plan.driver).processes(self.plan)
        return processors.used(processes.get(self.name, []))
