# SPDX-License-Identifier: Apache-2.0
"""Document of the workflows of a site: kadeploy --list --json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from kadeploy.service.views.view import Document, Number, View
from kadeploy.vocabulary.workflow import WorkflowKind

if TYPE_CHECKING:  # a client has documents, and nothing of what they are made of
    from kadeploy.operations.workflows import Overview
    from kadeploy.service.queue import QueuePlace
    from kadeploy.store.workflow_outcome import WorkflowOutcome

NO_PLACES: Mapping[str, QueuePlace] = {}


class CountsView(View):
    """Numbers of nodes by their ends; null where that is unknown."""

    ok: int | None
    ko: int | None
    held: int | None
    aborted: int | None

    @classmethod
    def of(cls, outcome: WorkflowOutcome) -> CountsView:
        """View of the counts of an outcome."""
        return cls(ok=outcome.ok, ko=outcome.ko, held=outcome.held, aborted=outcome.aborted)


class QueuePlaceView(View):
    """Place in the queue: 1 for the next one; ``seconds`` until it may begin, null where unknown."""

    position: int
    seconds: Number | None

    @classmethod
    def of(cls, place: QueuePlace) -> QueuePlaceView:
        """View of a place."""
        return cls(position=place.position, seconds=_rounded(place.seconds))


class WorkflowView(View):
    """Workflow of a ``kind``: deploy, reboot or power.

    ``started`` and ``finished`` are times of UTC, the latter null before the end; ``seconds`` are those until
    the end, or until now while it runs, and null otherwise. ``environment`` is name:version, '' where there
    is none or it is unknown; ``message`` tells why the workflow was refused or has failed. ``nodes`` has the
    states of its nodes that nobody else has had since. ``queue`` is null unless it waits for its nodes.
    """

    wid: str
    kind: WorkflowKind
    user: str
    state: str
    started: str
    finished: str | None
    seconds: Number | None
    environment: str
    counts: CountsView
    message: str
    nodes: dict[str, str]
    queue: QueuePlaceView | None = None

    @classmethod
    def of(cls, overview: Overview, places: Mapping[str, QueuePlace] = NO_PLACES) -> WorkflowView:
        """View of a workflow, with its place among those that wait."""
        workflow, duration = overview.workflow, overview.duration
        place = places.get(workflow.id)
        return cls(
            wid=workflow.id,
            kind=workflow.kind,
            user=workflow.user,
            state=overview.state,
            started=_time(workflow.started),
            finished=None if workflow.finished is None else _time(workflow.finished),
            seconds=_rounded(duration),
            environment=overview.environment,
            counts=CountsView.of(overview.outcome),
            message=overview.outcome.message,
            nodes={record.name: str(record.state) for record in overview.nodes},
            queue=QueuePlaceView.of(place) if place else None,
        )


class BegunView(View):
    """Workflow that was begun or goes on; ``since`` is the number of the first event of what happens now."""

    wid: str
    since: int


class AbandonedView(View):
    """Workflow that was abandoned, and its nodes that were given up."""

    wid: str
    nodes: tuple[str, ...]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


class WorkflowsView(Document):
    """Workflows of a site, newest first."""

    kind: Literal["workflows"] = "workflows"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    workflows: tuple[WorkflowView, ...]

    @classmethod
    def of(cls, overviews: Sequence[Overview], places: Mapping[str, QueuePlace] = NO_PLACES) -> WorkflowsView:
        """View of workflows."""
        return cls(workflows=tuple(WorkflowView.of(overview, places) for overview in overviews))
