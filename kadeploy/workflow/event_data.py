# SPDX-License-Identifier: Apache-2.0
"""Data of events as values, for those who show them: a client of another machine has no more than events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kadeploy.vocabulary.workflow import State
from kadeploy.workflow.event import Event


@dataclass(frozen=True, slots=True)
class StartedCluster:
    """Cluster of an operation that has started; ``prefix`` marks its lines in logs."""

    cluster: str
    prefix: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileProgress:
    """Progress of a file: bytes that are done of ``size``, 0 where that is not known."""

    what: str
    source: str
    done: int
    size: int


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """Progress of a broadcast on a node: bytes of ``size`` that it has received, and its consumer taken.

    ``upstream`` is its feeder, '' as long as there is none, ``position`` its rank in its lane.
    """

    node: str
    received: int
    consumed: int
    size: int
    upstream: str = ""
    lane: int = 0
    position: int = 0


@dataclass(frozen=True, slots=True)
class ToldReception:
    """Reception of a node as an event tells it.

    ``moved`` counts how often the node was taken out of its lane, ``notes`` are the reasons.
    """

    node: str
    ok: bool
    bytes: int
    seconds: float
    lane: int
    position: int
    moved: int
    notes: tuple[str, ...]


def clusters_of(event: Event) -> list[StartedCluster]:
    """Clusters of a beginning."""
    return [
        StartedCluster(cluster["cluster"], cluster["prefix"], tuple(cluster["nodes"]))
        for cluster in event.data["clusters"]
    ]


def file_of(event: Event) -> FileProgress:
    """File that is copied or digested."""
    return FileProgress(**event.data)


def present_of(event: Event) -> int:
    """Number of the nodes that wait for others."""
    return int(event.data["present"])


def queue_of(event: Event) -> str:
    """Text of a queue: ``12 nodes wait for the reboot window (size 50)``; '' once nobody waits."""
    count = len(event.nodes)
    who = "1 node waits" if count == 1 else f"{count} nodes wait"
    return f"{who} for the {event.data['window']} window (size {event.data['size']})" if count else ""


def place_of(event: Event) -> str:
    """Text of the place of an operation in the queue: ``position 2 in the queue, begins in about 5 min``."""
    text = f"position {event.data['position']} in the queue"
    seconds = event.data.get("seconds")
    return text if seconds is None else f"{text}, begins in about {max(round(seconds / 60), 1)} min"


def warning_of(event: Event) -> str:
    """Message of a warning."""
    return str(event.data["message"])


def state_of(event: Event) -> State:
    """State of the workflow at the end."""
    return State(event.data["state"])


def counts_of(event: Event) -> Mapping[str, int]:
    """Numbers of nodes by their phases at the end."""
    counts: Mapping[str, int] = event.data["counts"]
    return counts


def refusal_of(event: Event) -> str:
    """Sentence that says why no node has begun, '' where nodes have."""
    return str(event.data.get("message", ""))


def progress_of(event: Event) -> list[TransferProgress]:
    """Progress of a broadcast on each node."""
    progress: Mapping[str, Any] = event.data["progress"]
    return [TransferProgress(node=node, size=event.data["size"], **one) for node, one in progress.items()]


def receptions_of(event: Event) -> list[ToldReception]:
    """Receptions of the nodes for which a broadcast has ended."""
    receptions: Mapping[str, Any] = event.data["receptions"]
    return [
        ToldReception(node=node, **{**one, "notes": tuple(one["notes"])}) for node, one in receptions.items()
    ]
