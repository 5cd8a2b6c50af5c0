# SPDX-License-Identifier: Apache-2.0
"""What happens in a round of deployments, drawn by lot from its seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

LENGTH = 9.0  # seconds that an undisturbed deployment takes, about


class Trouble(StrEnum):
    """What happens to one command."""

    KILL = "kill"  # SIGKILL
    LOSS = "loss"  # it is stopped, another one takes its node by --force, then it goes on
    STOP = "stop"  # it is stopped for a while, and nobody takes its node
    CLOCK = "clock"  # its wall clock is stepped, by a library that costs it ten times the processor time
    NONE = "none"


class Outage(StrEnum):
    """What happens to the store or the boot server, and so to all commands of a round."""

    REPLACED = "replaced"  # a copy of an hour ago is put in the place of the store, which comes back later
    LOCKED = "locked"  # another process holds the write lock
    BOOT = "boot"  # kadeploy-boot is killed, and started again later
    FULL = "full"  # the file system of the store
    NONE = "none"


STEPS = ("-1h", "+1h", "-3d", "+3d")  # of a wall clock


@dataclass(frozen=True, slots=True)
class Command:
    """A deployment of one node; its trouble begins `at` seconds and lasts `seconds`; `step` of its clock."""

    node: str
    trouble: Trouble
    at: float
    seconds: float
    step: str


@dataclass(frozen=True, slots=True)
class Round:
    """Deployments at the same time; the outage begins `at` seconds and lasts `seconds`."""

    seed: int
    commands: tuple[Command, ...]
    outage: Outage
    at: float
    seconds: float


def draw(seed: int, nodes: Sequence[str]) -> Round:
    """Each kind of outage in turn, each time with other troubles; the clock comes late, as it takes long."""
    chance = random.Random(seed)
    outages, troubles = list(Outage), list(Trouble)
    outage = outages[seed % len(outages)]
    if seed < len(outages) - 1:
        troubles.remove(Trouble.CLOCK)
    offset = seed // len(outages) + seed - 1
    commands = []
    for place, node in enumerate(nodes):
        trouble = troubles[(offset + place) % len(troubles)]
        if outage is Outage.REPLACED and trouble is Trouble.LOSS:
            trouble = Trouble.KILL  # nobody can take a node by a store that does not know of it
        moment, seconds = chance.uniform(0, LENGTH), chance.uniform(2, 6)
        commands.append(Command(node, trouble, moment, seconds, chance.choice(STEPS)))
    return Round(seed, tuple(commands), outage, chance.uniform(0, LENGTH), chance.uniform(2, 6))
