# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in a broadcast, drawn by lot from a seed, and what has to come of it."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from kadeploy.broadcast.interface import RelayResult, Trouble


class Kind(StrEnum):
    """What happens to a node: at some moment of the stream, or from the beginning."""

    KILL = "kill"  # its relay
    FREEZE = "freeze"
    THAW = "thaw"  # frozen for some seconds
    CUT = "cut"  # its link
    BLINK = "blink"  # its link is cut for some seconds
    SLOW = "slow"  # its link has a tenth of the rate
    HEAD = "head"  # the head's link is cut for some seconds
    FULL = "full"  # its disk
    CONSUMER = "consumer"  # fails
    CORRUPT = "corrupt"  # damages what it sends
    MEMORY = "memory"  # damages what it receives


FROM_THE_BEGINNING = (Kind.FULL, Kind.CONSUMER, Kind.CORRUPT, Kind.MEMORY)
UNHEARD = r"given up by .*: .+|nothing heard from the relay for .* s|.*: given up by .*"

# How a node with that fault fails: the kind of trouble, and the reason as a regular expression.
FAILS = {
    Kind.KILL: (Trouble.PEERS, r"the relay ended.*"),
    Kind.FREEZE: (Trouble.PEERS, UNHEARD),
    Kind.CUT: (Trouble.PEERS, UNHEARD),
    Kind.FULL: (Trouble.CONSUMER, r"sh exited with status 1"),
    Kind.CONSUMER: (Trouble.CONSUMER, r"sh exited with status 3"),
    Kind.CORRUPT: (
        Trouble.DATA,
        r"passed on damaged data: n\d+ received damaged data from n\d+ after byte \d+",
    ),
    Kind.MEMORY: (Trouble.DATA, r"finds damaged what the head sends, and what .+ sent before"),
}
# Who has everything before it happens has its verdict already. A relay that damages what it sends, but feeds
# nobody at the time, damages nothing.
MAY_BE_RIGHT = (Kind.KILL, Kind.FREEZE, Kind.CUT, Kind.CORRUPT)


@dataclass(frozen=True, slots=True)
class Fault:
    """`at`: the part of the stream that has passed then. `seconds`: how long it lasts, if it ends."""

    kind: Kind
    node: str
    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """`size` in bytes."""

    seed: int
    nodes: tuple[str, ...]
    size: int
    arity: int
    faults: tuple[Fault, ...]

    def fault_of(self, node: str) -> Fault | None:
        return next((fault for fault in self.faults if fault.node == node), None)


def draw(seed: int) -> Scenario:
    """Every kind comes first in turn, others come with it."""
    chance = random.Random(seed)
    nodes = tuple(f"n{number}" for number in range(1, chance.randint(8, 12) + 1))
    kinds = [list(Kind)[seed % len(Kind)]]
    kinds += chance.choices(list(Kind), k=chance.choice([0, 0, 1, 2, 3]))
    if Kind.HEAD in kinds:
        kinds = [Kind.HEAD, *(kind for kind in kinds if kind is not Kind.HEAD)]
    return Scenario(
        seed=seed,
        nodes=nodes,
        size=chance.randint(8 << 20, 16 << 20),
        arity=chance.choice([1, 1, 1, 2, 3]),
        faults=tuple(
            Fault(
                kind,
                "head" if kind is Kind.HEAD else victim,
                0.0 if kind in FROM_THE_BEGINNING else chance.uniform(0, 0.85),
                chance.uniform(1, 3),
            )
            for kind, victim in zip(kinds, _victims(chance, nodes, len(kinds)), strict=True)
        ),
    )


def _victims(chance: random.Random, nodes: tuple[str, ...], count: int) -> list[str]:
    """Often neighbours."""
    if chance.random() < 0.4:
        first = chance.randint(0, len(nodes) - count)
        return list(nodes[first : first + count])
    return chance.sample(nodes, count)


def problems(scenario: Scenario, results: Mapping[str, RelayResult], exact: set[str]) -> list[str]:
    """What of the results is not true, `exact` being the nodes that hold every byte."""
    found = [] if set(results) == set(scenario.nodes) else ["not every node has a result"]
    for node, result in results.items():
        fault = scenario.fault_of(node)
        if result.ok and node not in exact:
            found.append(f"{node} is ok without the image")
        elif fault is None or fault.kind not in FAILS:
            if not result.ok:
                found.append(f"{node} failed: {result.reason} {result.notes}")
        elif result.ok:
            if fault.kind not in MAY_BE_RIGHT:
                found.append(f"{node} is ok in spite of: {fault.kind}")
        elif not _fits(fault.kind, result):
            found.append(f"{node} failed for another reason than {fault.kind}: {result.reason}")
    return found


def _fits(kind: Kind, result: RelayResult) -> bool:
    trouble, pattern = FAILS[kind]
    return result.trouble is trouble and re.fullmatch(pattern, result.reason) is not None
