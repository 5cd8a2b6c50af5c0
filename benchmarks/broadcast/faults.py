# SPDX-License-Identifier: Apache-2.0
"""What happens to nodes in the middle of a broadcast of kadeploy's, and what it costs the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import kadeploy_methods
from .crew import Crew, RunFailed
from .fleet import Fleet, run
from .loads import Load
from .measure import Sample, deadline, sample

AFTER = 2.0  # seconds from the start of the stream to the fault
SLOWNESS = 10  # a slow node has so many times less than the others
LEAST_NODES = 4
NONE = "no fault"


@dataclass(frozen=True, slots=True)
class Fault:
    """`how`: "kill" the relay or "cut" the wire after ``AFTER`` s, "slow" wires from the start, or ""."""

    name: str
    how: str
    victims: tuple[int, ...]  # ranks in the chain, from 1


def faults(nodes: int, only: str = "") -> list[Fault]:
    """Those with `only` in their names, for a chain of so many nodes; the run without any comes first."""
    return [Fault(NONE, "", ()), *(fault for fault in _faults(nodes) if only in fault.name)]


def _faults(nodes: int) -> list[Fault]:
    middle = nodes // 2
    return [
        Fault("one relay killed", "kill", (middle,)),
        Fault("one link down", "cut", (middle,)),
        Fault("three links down, spread", "cut", tuple(sorted({nodes // 4, middle, nodes * 3 // 4}))),
        Fault("three links down, adjacent", "cut", (middle - 1, middle, middle + 1)),
        Fault("three links down, first and last too", "cut", (1, middle, nodes)),
        Fault("one link at a tenth", "slow", (middle,)),
    ]


def measure_fault(fleet: Fleet, method: str, load: Load, fault: Fault) -> Sample:
    """One broadcast; seconds are of those that nothing was done to, and so is whether the bytes are right."""
    victims = [fleet.nodes[rank - 1] for rank in fault.victims]
    try:
        report = _run(fleet, method, load, fault, victims)
    except RunFailed as error:
        return sample(fleet, method, load, case=fault.name, problem=str(error))
    finally:
        _mend(fleet, fault, victims)
    exact = {node for node in fleet.nodes if load.arrived(fleet.store(node))}
    fleet.clean()
    figures = judge(report, fleet.nodes, victims, exact, may_live=fault.how in ("", "slow"))
    return sample(fleet, method, load, case=fault.name, **figures)


def judge(
    report: Mapping[str, Any],
    nodes: Sequence[str],
    victims: Sequence[str],
    exact: set[str],
    *,
    may_live: bool,
) -> dict[str, Any]:
    """The figures of a run; `exact` are the nodes that have every byte, `may_live` says what victims may do.

    The list of failed nodes is right when no survivor is on it, every victim is that cannot live, and nobody
    is missing on it who does not have every byte.
    """
    survivors = [node for node in nodes if node not in victims]
    failed = set(report["failed"])
    right = failed <= set(victims) and set(nodes) - exact <= failed and (may_live or failed == set(victims))
    return {
        "seconds": max(report["results"][node][2] for node in survivors),
        "busy": report["busy"],
        "head_cpu": report["head_cpu"],
        "nodes_cpu": report["nodes_cpu"],
        "verified": set(survivors) <= exact,
        "more": {
            "victims": list(victims),
            "failed": sorted(failed),
            "failed_right": right,
            "reasons": report["reasons"],
            "notes": report["notes"],
            "run_seconds": report["run_seconds"],
        },
    }


def _run(fleet: Fleet, method: str, load: Load, fault: Fault, victims: list[str]) -> dict[str, Any]:
    with Crew(fleet, deadline(fleet, load, 1)) as crew:
        told = kadeploy_methods.orders(crew, load, method)
        if fault.how == "kill":
            told |= {"after": AFTER, "kill": victims}
        elif fault.how == "cut":
            told |= {"after": AFTER, "commands": [fleet.at_bridge(fleet.set_links(victims, up=False))]}
        elif fault.how == "slow":
            assert fleet.rate
            for node in victims:
                run(fleet.set_rate(node, fleet.rate // SLOWNESS))
        return kadeploy_methods.broadcast(crew, told)


def _mend(fleet: Fleet, fault: Fault, victims: list[str]) -> None:
    if fault.how == "cut":
        run(fleet.set_links(victims, up=True))
    elif fault.how == "slow":
        assert fleet.rate
        for node in victims:
            run(fleet.set_rate(node, fleet.rate))
