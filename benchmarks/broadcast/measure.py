# SPDX-License-Identifier: Apache-2.0
"""One run of one method: what it took, what it cost, and whether every node has every byte."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .crew import Crew, RunFailed
from .fleet import Fleet
from .loads import Load
from .methods import Method

DEADLINE = 15.0  # times the line time of what is sent, with DEADLINE_LEAST seconds at the least
DEADLINE_LEAST = 60.0
MOST_BUSY = 0.6  # a run in which the processors were busier is rejected: they, not the wires, were measured


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. Seconds; `problem` is empty, or says why there is no time; `rate` is 0 where it is unlimited.

    `case` is empty in a comparison, else what was done to the nodes, or with which wires and sinks.
    `head_cpu` and `nodes_cpu` are seconds of processors, of the source and of all nodes together; `more` has
    what only some methods tell.
    """

    method: str
    kind: str
    nodes: int
    rate: int
    size: int
    case: str = ""
    seconds: float = 0.0
    busy: float = 0.0
    head_cpu: float = 0.0
    nodes_cpu: float = 0.0
    verified: bool = False
    problem: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def rejected(self) -> bool:
        return bool(self.rate) and self.busy > MOST_BUSY


def measure(fleet: Fleet, method: Method, load: Load) -> Sample:
    """Run `method` once; the directories of the nodes are empty before and afterwards."""
    crew = Crew(fleet, deadline(fleet, load, len(fleet.nodes) if method.star else 1))
    try:
        with crew:
            figures = dict(method.race(crew, load))
    except RunFailed as error:
        fleet.clean()
        return sample(fleet, method.name, load, problem=str(error))
    own = {
        "seconds": crew.clock.seconds,
        "busy": crew.clock.busy,
        "head_cpu": crew.head_cpu,
        "nodes_cpu": crew.nodes_cpu,
    }
    found = {name: figures.pop(name, value) for name, value in own.items()}
    verified = all(load.arrived(fleet.store(node)) for node in fleet.nodes)
    fleet.clean()
    return sample(fleet, method.name, load, **found, verified=verified, more=figures)


def deadline(fleet: Fleet, load: Load, times: int) -> float:
    """Seconds for one run that sends the file so many times over one wire."""
    line = load.size * 8 / fleet.rate if fleet.rate else 0.0
    return max(DEADLINE_LEAST, DEADLINE * line, 3 * times * line)


def sample(fleet: Fleet, method: str, load: Load, **figures: Any) -> Sample:
    """A sample of this load on this fleet."""
    return Sample(method, load.kind, len(fleet.nodes), fleet.rate or 0, load.size, **figures)
