# SPDX-License-Identifier: Apache-2.0
"""Assignment of random faults to nodes: the same for the same seed, with the exact share of each kind."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from kadeploy.lab.faults.setting import Setting


@dataclass(frozen=True, slots=True)
class AssignedFault:
    """Fault of a node. ``expect``: 'ok' or the class of its verdict, '' if not given."""

    node: str
    setting: Setting
    expect: str = ""


@dataclass(frozen=True, slots=True)
class WeightedFault:
    """Fault to draw from; one of weight 2 is drawn twice as often as one of weight 1."""

    setting: Setting
    expect: str
    weight: float


def assign(
    nodes: Sequence[str], share: float, faults: Sequence[WeightedFault], seed: int
) -> list[AssignedFault]:
    """Assign one fault each to a share of the nodes; returns them in the order of the nodes.

    Each fault is drawn as often as its weight demands, rounded up or down at random (systematic sampling). A
    fault is left out where it names its own node.
    """
    generator = random.Random(seed)  # noqa: S311 - to be repeated, no secret
    chosen = sorted(generator.sample(range(len(nodes)), round(share * len(nodes))))
    drawn = _draw(len(chosen), faults, generator)
    generator.shuffle(drawn)
    names = [nodes[index] for index in chosen]
    assigned = [
        AssignedFault(name, fault.setting, fault.expect) for name, fault in zip(names, drawn, strict=True)
    ]
    return [found for found in assigned if found.setting.value != found.node]


def _draw(count: int, faults: Sequence[WeightedFault], generator: random.Random) -> list[WeightedFault]:
    order = list(faults)
    generator.shuffle(order)
    bounds = list(accumulate(fault.weight for fault in order))
    step = bounds[-1] / max(count, 1)
    first = generator.uniform(0, step)
    drawn, position = [], 0
    for number in range(count):
        while position < len(order) - 1 and bounds[position] <= first + number * step:
            position += 1
        drawn.append(order[position])
    return drawn
