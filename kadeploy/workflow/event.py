# SPDX-License-Identifier: Apache-2.0
"""Event: what happened in a workflow, for everybody who watches it, in this process or in others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kadeploy.workflow.event_kind import CONTENTS, EventKind
from kadeploy.workflow.failure import Failure
from kadeploy.workflow.phase import Phase

_REQUIRED = frozenset({"sequence", "at", "wid", "kind", "nodes"})
_NO_DATA: Mapping[str, Any] = {}


class Event(NamedTuple):
    """Event at ``at``, in seconds since the epoch. ``data`` has JSON values, by the table of its kind.

    Macro-step, instance and micro-step are names, '' for none; ``fallback`` is the number of the instance
    among those of its macro-step, from 0. ``sequence`` counts the events of the workflow ``wid`` from 1, and
    is 0 for one that its log does not have. ``transition`` is the number of the entry in the journal that it
    follows from, 0 for none.
    """

    # A tuple, for each node makes some forty, twice: a frozen dataclass takes five times as long to make.

    kind: EventKind
    at: float
    nodes: tuple[str, ...] = ()
    macro_step: str = ""
    instance: str = ""
    micro_step: str = ""
    fallback: int = 0
    data: Mapping[str, Any] = _NO_DATA
    cluster: str = ""
    wid: str = ""
    sequence: int = 0
    transition: int = 0

    def numbered(self, cluster: str, wid: str, sequence: int) -> Event:
        """Copy that belongs to a workflow; not by _replace, which takes three times as long."""
        return Event(
            self.kind,
            self.at,
            self.nodes,
            self.macro_step,
            self.instance,
            self.micro_step,
            self.fallback,
            self.data,
            cluster,
            wid,
            sequence,
            self.transition,
        )

    @property
    def node(self) -> str:
        """Node of an event that is of one node."""
        return self.nodes[0]

    @property
    def place(self) -> str:
        """Instance and micro-step, as lists and statistics name them."""
        return f"{self.instance}-{self.micro_step}"

    @property
    def attempt(self) -> int:
        """Attempts of the instance before this one."""
        return int(self.data["attempt"])

    @property
    def started(self) -> float:
        """Time when a micro-step was admitted to its window, or when a broadcast began."""
        return float(self.data["started"])

    @property
    def seconds(self) -> float:
        """Time that it took, or for which it is waited at most."""
        return float(self.data["seconds"])

    @property
    def phase(self) -> Phase:
        """Phase in which a node has ended."""
        return Phase(self.data["phase"])

    @property
    def failure(self) -> Failure | None:
        """Failure by which it ended, None where it went well."""
        found = self.data.get("failure")
        return Failure(**found) if found else None


def to_json(event: Event) -> dict[str, Any]:
    """Encode an event as JSON values, without what is empty."""
    document: dict[str, Any] = {
        "sequence": event.sequence,
        "at": event.at,
        "wid": event.wid,
        "kind": event.kind.value,
        "nodes": list(event.nodes),
        "cluster": event.cluster,
        "macro_step": event.macro_step,
        "instance": event.instance,
        "micro_step": event.micro_step,
        "fallback": event.fallback,
        "data": event.data,
        "transition": event.transition,
    }
    return {name: value for name, value in document.items() if value or name in _REQUIRED}


_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "sequence": int,
    "at": (int, float),
    "wid": str,
    "kind": str,
    "nodes": (list, tuple),
    "cluster": str,
    "macro_step": str,
    "instance": str,
    "micro_step": str,
    "fallback": int,
    "data": Mapping,
    "transition": int,
}


def from_json(document: Mapping[str, Any]) -> Event:
    """Decode the event that ``to_json`` encoded; raises ValueError for what this version does not know."""
    if lacking := [name for name in sorted(_REQUIRED) if name not in document]:
        raise ValueError(f"an event lacks {', '.join(lacking)}")
    for name, value in document.items():
        if name not in _TYPES:
            raise ValueError(f"an event has a field '{name}'")
        if not isinstance(value, _TYPES[name]):
            raise ValueError(f"the field '{name}' of an event is {type(value).__name__}")
    kind = EventKind(document["kind"])
    content, data = CONTENTS[kind], document.get("data", {})
    if not content.required <= data.keys() <= content.known:
        raise ValueError(f"an event {kind} has the data {', '.join(data) or 'of none'}")
    nodes = tuple(document["nodes"])
    if not all(isinstance(node, str) for node in nodes):
        raise ValueError("a node of an event is no name")
    return Event(
        **{**document, "kind": kind, "nodes": nodes, "at": float(document["at"]), "data": dict(data)}
    )
