# SPDX-License-Identifier: Apache-2.0
"""Critical path: the waits before the end of a node, followed back to the beginning.

If a node waited for others, the path goes on with the one whose arrival (or end) let them begin. So the
spans follow each other without gap, and their seconds add up to the end of the node.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from kadeploy.simulation.timeline import Cohort, Stay, Timeline
from kadeploy.workflow.automaton import Position


class SpanKind(StrEnum):
    """Use of the time of a span.

    ``lost`` are attempts of an instance that failed in the end; ``spare`` is the time until another node had
    failed, whose place this one took.
    """

    WORK = "work"
    WINDOW = "window"
    GRACE = "grace"
    LOST = "lost"
    SPARE = "spare"


@dataclass(frozen=True, slots=True)
class Span:
    """Part of the critical path, at a position."""

    kind: SpanKind
    position: Position
    seconds: float


def trace(timeline: Timeline, node: str) -> Iterator[Span]:
    """Spans of a node's critical path, the last one first."""
    index, failed = len(timeline.stays[node]) - 1, None
    while index >= 0:
        stay = timeline.stays[node][index]
        failed = stay.position.macro if not stay.ok else failed
        yield from _spans(stay, lost=stay.position.macro == failed)
        cohort = timeline.cohorts.get((stay.position, stay.asked))
        if cohort is None or cohort.trigger is None:
            index -= 1
            if index < 0 and stay.asked > 0:
                yield Span(SpanKind.SPARE, stay.position, stay.asked)
            continue
        yield from _grace(cohort, stay.position)
        if cohort.trigger.node != node:
            node, failed = cohort.trigger.node, None
        index = cohort.trigger.stay


def _spans(stay: Stay, *, lost: bool) -> Iterator[Span]:
    yield Span(SpanKind.LOST if lost else SpanKind.WORK, stay.position, stay.ended - stay.began)
    if stay.began > stay.asked:
        yield Span(SpanKind.WINDOW, stay.position, stay.began - stay.asked)


def _grace(cohort: Cohort, position: Position) -> Iterator[Span]:
    if cohort.by_grace and cohort.trigger is not None:
        yield Span(SpanKind.GRACE, position, cohort.at - cohort.trigger.at)
