# SPDX-License-Identifier: Apache-2.0
"""Automaton of a workflow: macro-steps, each with ordered instances, each made of micro-steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from kadeploy.config.expression import Expression
from kadeploy.vocabulary.scope import Scope
from kadeploy.workflow.event import Event


@dataclass(frozen=True, slots=True)
class MicroStep:
    """Elementary operation; ``timeout`` in seconds, ``retries`` are attempts after the first.

    ``restart`` is the micro-step of the same instance from which a node goes on whose engine was killed in
    this step; the step itself if it may be repeated as it is.
    """

    name: str
    scope: Scope
    timeout: Expression
    restart: str
    retries: int = 0
    breakpoint: bool = False


@dataclass(frozen=True, slots=True)
class Instance:
    """Implementation of a macro-step; ``timeout`` is the seconds of one attempt, 0 for none."""

    name: str
    microsteps: tuple[MicroStep, ...]
    timeout: Expression
    retries: int = 0

    def __post_init__(self) -> None:
        names = [step.name for step in self.microsteps]
        if not names:
            raise ValueError(f"instance {self.name} has no micro-step")
        if len(set(names)) < len(names):  # breakpoints, restarts and statistics go by the names
            raise ValueError(f"instance {self.name} has a micro-step twice")


@dataclass(frozen=True, slots=True)
class MacroStep:
    """Macro-step and its instances in the order in which they are tried."""

    name: str
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Gathering:
    """Bounds of the wait of a set-scoped step for late nodes.

    From the moment when the share ``quorum`` of the nodes has arrived, the others get as many seconds as
    those took from the first to the last of them, but no less than ``least`` and no more than ``grace``.
    """

    quorum: float
    grace: float
    least: float = 0.0

    def seconds(self, spread: float) -> float:
        """Seconds to wait for late nodes, if those that are there arrived within ``spread`` seconds."""
        return min(max(spread, self.least), self.grace)


class Position(NamedTuple):
    """Indexes of a macro-step, of one of its instances, and of a micro-step of that, in their order."""

    macro: int
    instance: int
    micro: int


class Place(NamedTuple):
    """Names at a position."""

    macro_step: str
    instance: str
    micro_step: str


@dataclass(frozen=True, slots=True)
class Automaton:
    """Macro-steps in order, for all nodes of one cluster.

    With ``hold_failures`` a node that fails is held where it failed instead of being tried again. ``places``
    maps each position to its names: each event needs them.
    """

    macrosteps: tuple[MacroStep, ...]
    gathering: Gathering
    hold_failures: bool = False
    places: Mapping[Position, Place] = field(init=False, repr=False, compare=False)
    _positions: Mapping[tuple[str, int, str], Position] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        places = dict(self._all_places())
        positions = {(place[0], position.instance, place[2]): position for position, place in places.items()}
        object.__setattr__(self, "places", places)
        object.__setattr__(self, "_positions", positions)

    def _all_places(self) -> Iterator[tuple[Position, Place]]:
        for number, macro in enumerate(self.macrosteps):
            for index, instance in enumerate(macro.instances):
                for micro, step in enumerate(instance.microsteps):
                    yield Position(number, index, micro), Place(macro.name, instance.name, step.name)

    def position_of(self, event: Event) -> Position:
        """Position of an event of this automaton that has a micro-step; raises KeyError for any other."""
        return self._positions[event.macro_step, event.fallback, event.micro_step]

    def instance(self, position: Position) -> Instance:
        """Instance of a position."""
        return self.macrosteps[position.macro].instances[position.instance]

    def microstep(self, position: Position) -> MicroStep:
        """Micro-step of a position."""
        return self.instance(position).microsteps[position.micro]

    def following(self, position: Position) -> Position | None:
        """Position after success; None at the end of the last macro-step."""
        if position.micro + 1 < len(self.instance(position).microsteps):
            return Position(position.macro, position.instance, position.micro + 1)
        if position.macro + 1 < len(self.macrosteps):
            return Position(position.macro + 1, 0, 0)
        return None


def to_mapping(automaton: Automaton) -> dict[str, Any]:
    """Encode an automaton as JSON values: transitions have a meaning only under their own automaton."""
    return {
        "macrosteps": [
            [macro.name, [_instance_to_mapping(instance) for instance in macro.instances]]
            for macro in automaton.macrosteps
        ],
        "gathering": asdict(automaton.gathering),
        "hold_failures": automaton.hold_failures,
    }


def _instance_to_mapping(instance: Instance) -> dict[str, Any]:
    steps = [{**asdict(step), "timeout": str(step.timeout)} for step in instance.microsteps]
    return {**asdict(instance), "timeout": str(instance.timeout), "microsteps": steps}


def from_mapping(mapping: Mapping[str, Any]) -> Automaton:
    """Decode the automaton that ``to_mapping`` encoded."""
    macrosteps = [
        MacroStep(name, tuple(_instance_from_mapping(instance) for instance in instances))
        for name, instances in mapping["macrosteps"]
    ]
    gathering = Gathering(**mapping["gathering"])
    return Automaton(tuple(macrosteps), gathering, mapping["hold_failures"])


def _instance_from_mapping(mapping: Mapping[str, Any]) -> Instance:
    steps = [
        MicroStep(**step | {"timeout": Expression(step["timeout"]), "scope": Scope(step["scope"])})
        for step in mapping["microsteps"]
    ]
    return Instance(**{**mapping, "timeout": Expression(mapping["timeout"]), "microsteps": tuple(steps)})
