# SPDX-License-Identifier: Apache-2.0
"""Faults dealt to nodes by lot: the same ones again for the same seed, shares of kinds kept exactly."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from kadeploy.lab.faults.setting import Setting


@dataclass(frozen=True, slots=True)
class Lot:
    """Fault dealt to a node. ``expect``: 'ok' or the class of its verdict, '' if not given."""

    node: str
    setting: Setting
    expect: str = ""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Fault in the draw; one of weight 2 is drawn twice as often as one of weight 1."""

    setting: Setting
    expect: str
    weight: float


def deal(nodes: Sequence[str], share: float, tickets: Sequence[Ticket], seed: int) -> list[Lot]:
    """Give a share of the nodes one ticket each, in the order of the nodes.

    Each ticket is drawn as often as its weight demands, rounded up or down by lot (systematic sampling), but
    never for the node that it names.
    """
    chance = random.Random(seed)  # noqa: S311 - to be repeated, no secret
    broken = sorted(chance.sample(range(len(nodes)), round(share * len(nodes))))
    drawn = _draw(len(broken), tickets, chance)
    chance.shuffle(drawn)
    names = [nodes[index] for index in broken]
    lots = [Lot(name, ticket.setting, ticket.expect) for name, ticket in zip(names, drawn, strict=True)]
    return [lot for lot in lots if lot.setting.value != lot.node]


def _draw(count: int, tickets: Sequence[Ticket], chance: random.Random) -> list[Ticket]:
    order = list(tickets)
    chance.shuffle(order)
    bounds = list(accumulate(ticket.weight for ticket in order))
    step = bounds[-1] / max(count, 1)
    first = chance.uniform(0, step)
    drawn, position = [], 0
    for number in range(count):
        while position < len(order) - 1 and bounds[position] <= first + number * step:
            position += 1
        drawn.append(order[position])
    return drawn
