# SPDX-License-Identifier: Apache-2.0
"""Kinds of events, and the data that each of them has: schemas and documentation are made of this table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    """Kind of an event: what has happened."""

    IN_QUEUE = "in-queue"
    PLANNING = "planning"
    FILE = "file"
    STARTED = "started"
    INSTANCE_STARTED = "instance-started"
    INSTANCE_ENDED = "instance-ended"
    STEP_STARTED = "step-started"
    STEP_ENDED = "step-ended"
    STEP_CLEARED = "step-cleared"
    WAITING = "waiting"
    NODE_ENDED = "node-ended"
    SPARES_STARTED = "spares-started"
    TRANSFERRING = "transferring"
    RECEIVED = "received"
    QUEUED = "queued"
    WARNING = "warning"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class EventValue:
    """Value in the data of an event: its type in JSON, and what it means. ``optional``: it may be missing."""

    name: str
    type: str
    text: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class EventContent:
    """Content of the events of one kind: what they tell, who their ``nodes`` are, and their data."""

    text: str
    nodes: str
    data: tuple[EventValue, ...] = ()

    @property
    def required(self) -> frozenset[str]:
        """Names of the values that none of these events lacks."""
        return frozenset(value.name for value in self.data if not value.optional)

    @property
    def known(self) -> frozenset[str]:
        """Names of all values that these events may have."""
        return frozenset(value.name for value in self.data)


_ATTEMPT = EventValue("attempt", "integer", "attempts of the instance before this one")
_FAILURE = EventValue(
    "failure",
    "object",
    "`reason` (a sentence), `evidence` (its last lines) and `cause`; missing if it went well",
    optional=True,
)
_SECONDS = EventValue("seconds", "number", "how long it took")

CONTENTS: Mapping[EventKind, EventContent] = {
    EventKind.IN_QUEUE: EventContent(
        "the operation waits until others have left its nodes",
        "all nodes that it wants",
        (
            EventValue("position", "integer", "1 for the next one of those that want the same nodes"),
            EventValue("seconds", "number", "until it may begin, by what operations take", optional=True),
        ),
    ),
    EventKind.PLANNING: EventContent(
        "the request is checked", "the nodes of the request, none for all of a workflow that goes on"
    ),
    EventKind.FILE: EventContent(
        "a file is copied to this machine, or digested",
        "none",
        (
            EventValue("what", "string", "`image`, `postinstall` or `custom`"),
            EventValue("source", "string", "path or URL of the file"),
            EventValue("done", "integer", "bytes that are done"),
            EventValue("size", "integer", "bytes in all, 0 where that is not known"),
        ),
    ),
    EventKind.STARTED: EventContent(
        "the nodes begin",
        "the nodes of all clusters, without spares",
        (
            EventValue(
                "clusters",
                "array",
                "objects of `cluster`, `prefix` (of its lines in logs), `nodes`, `spares` and `macro_steps`, "
                "objects of `macro_step` and `instances`, each of `instance` and its `micro_steps`",
            ),
        ),
    ),
    EventKind.INSTANCE_STARTED: EventContent(
        "an attempt of an instance begins", "the node that begins it", (_ATTEMPT,)
    ),
    EventKind.INSTANCE_ENDED: EventContent(
        "an attempt of an instance ends", "the node that ends it", (_ATTEMPT, _SECONDS, _FAILURE)
    ),
    EventKind.STEP_STARTED: EventContent("a micro-step begins", "the nodes that begin it together"),
    EventKind.STEP_ENDED: EventContent(
        "a micro-step ends",
        "the node that ends it",
        (
            _ATTEMPT,
            EventValue("started", "number", "when it was admitted to its window, seconds since the epoch"),
            EventValue("seconds", "number", "how long it took since then"),
            _FAILURE,
        ),
    ),
    EventKind.STEP_CLEARED: EventContent(
        "all live nodes have left a micro-step",
        "none",
        (EventValue("seconds", "number", "from its first node to its last"),),
    ),
    EventKind.WAITING: EventContent(
        "nodes wait at a set-scoped micro-step for others",
        "the nodes that are awaited",
        (
            EventValue("present", "integer", "number of the nodes that wait"),
            EventValue("seconds", "number", "for which they wait at most"),
        ),
    ),
    EventKind.NODE_ENDED: EventContent(
        "a node comes to an end, at this micro-step",
        "the node that ends",
        (EventValue("phase", "string", "`ok`, `ko`, `held` or `aborted`"), _FAILURE),
    ),
    EventKind.SPARES_STARTED: EventContent("spares take the places of failed nodes", "the spares"),
    EventKind.TRANSFERRING: EventContent(
        "a broadcast makes progress; at most one a second, and fewer with more than 100 nodes",
        "the nodes that have made progress",
        (
            EventValue("size", "integer", "bytes of the image"),
            EventValue(
                "progress",
                "object",
                "maps each of the nodes to `received` and `consumed` (bytes), `upstream` (its feeder, empty "
                "without one), `lane` and `position`",
            ),
        ),
    ),
    EventKind.RECEIVED: EventContent(
        "a broadcast has ended for nodes",
        "these nodes",
        (
            EventValue("started", "number", "when the broadcast began, seconds since the epoch"),
            EventValue(
                "receptions",
                "object",
                "maps each of the nodes to `ok`, `bytes`, `seconds`, `lane`, `position`, `moved` (how often "
                "it was taken out of its lane) and `notes` (why)",
            ),
        ),
    ),
    EventKind.QUEUED: EventContent(
        "nodes have waited for seconds for a slot of a window; no others wait so long",
        "the nodes that wait, none once nobody waits any more",
        (
            EventValue("window", "string", "name of the window"),
            EventValue("size", "integer", "number of its slots"),
        ),
    ),
    EventKind.WARNING: EventContent(
        "something does not work that does not stop the operation",
        "none",
        (
            EventValue("message", "string", "what does not work"),
            EventValue("level", "string", "`warning`, `error` or `critical`"),
            EventValue("traceback", "string", "where a defect of the program shows", optional=True),
        ),
    ),
    EventKind.ENDED: EventContent(
        "the operation ends",
        "none",
        (
            EventValue("state", "string", "state of the workflow"),
            EventValue("counts", "object", "maps each phase in which nodes have ended to their number"),
            EventValue("seconds", "number", "since the workflow was begun"),
            EventValue("message", "string", "why no node has begun", optional=True),
        ),
    ),
}
