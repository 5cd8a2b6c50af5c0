# SPDX-License-Identifier: Apache-2.0
"""Document of the events of a workflow: all events have the same fields, and data by their kinds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from kadeploy.service.views import event_data
from kadeploy.service.views.view import ListDocument, Number, View
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind


class EventView(View):
    """Event of a workflow at ``at``, in seconds since the epoch.

    ``sequence`` is its number in the workflow, from 1. ``macro_step``, ``instance`` and ``micro_step`` are
    names, '' for none; ``fallback`` is the number of the instance among those of its macro-step, 0 the first.
    """

    sequence: int
    at: Number
    wid: str
    cluster: str
    kind: str
    nodes: tuple[str, ...]
    macro_step: str
    instance: str
    micro_step: str
    fallback: int
    data: View

    @staticmethod
    def of(event: Event) -> AnyEventView:
        """View of an event."""
        names = (name for name in EventView.model_fields)
        return _ADAPTER.validate_python({name: getattr(event, name) for name in names})


class PlanningEventView(EventView):
    """Check of the request for these nodes."""

    kind: Literal[EventKind.PLANNING]
    data: event_data.NoDataView


class FileEventView(EventView):
    """Progress of a file that is copied to this machine, or digested."""

    kind: Literal[EventKind.FILE]
    data: event_data.FileDataView


class InQueueEventView(EventView):
    """Wait of the operation until others have left its nodes."""

    kind: Literal[EventKind.IN_QUEUE]
    data: event_data.InQueueDataView


class StartedEventView(EventView):
    """Beginning of the nodes of all clusters, without spares."""

    kind: Literal[EventKind.STARTED]
    data: event_data.StartedDataView


class InstanceStartedEventView(EventView):
    """Beginning of an attempt of an instance by a node."""

    kind: Literal[EventKind.INSTANCE_STARTED]
    data: event_data.AttemptDataView


class InstanceEndedEventView(EventView):
    """End of an attempt of an instance by a node."""

    kind: Literal[EventKind.INSTANCE_ENDED]
    data: event_data.InstanceEndedDataView


class StepStartedEventView(EventView):
    """Beginning of a micro-step by nodes together."""

    kind: Literal[EventKind.STEP_STARTED]
    data: event_data.NoDataView


class StepEndedEventView(EventView):
    """End of a micro-step by a node."""

    kind: Literal[EventKind.STEP_ENDED]
    data: event_data.StepEndedDataView


class StepClearedEventView(EventView):
    """End of a micro-step by the last live node."""

    kind: Literal[EventKind.STEP_CLEARED]
    data: event_data.StepClearedDataView


class WaitingEventView(EventView):
    """Wait of nodes at a set-scoped micro-step for these."""

    kind: Literal[EventKind.WAITING]
    data: event_data.WaitingDataView


class NodeEndedEventView(EventView):
    """End of a node, at this micro-step."""

    kind: Literal[EventKind.NODE_ENDED]
    data: event_data.NodeEndedDataView


class SparesStartedEventView(EventView):
    """Beginning of spares that take the places of failed nodes."""

    kind: Literal[EventKind.SPARES_STARTED]
    data: event_data.NoDataView


class TransferringEventView(EventView):
    """Progress of a broadcast on these nodes."""

    kind: Literal[EventKind.TRANSFERRING]
    data: event_data.TransferringDataView


class ReceivedEventView(EventView):
    """End of a broadcast for these nodes."""

    kind: Literal[EventKind.RECEIVED]
    data: event_data.ReceivedDataView


class QueuedEventView(EventView):
    """Wait of these nodes for a slot of a window; of none once nobody waits any more."""

    kind: Literal[EventKind.QUEUED]
    data: event_data.QueuedDataView


class WarningEventView(EventView):
    """Warning of something that does not work and does not stop the operation."""

    kind: Literal[EventKind.WARNING]
    data: event_data.WarningDataView


class EndedEventView(EventView):
    """End of the operation."""

    kind: Literal[EventKind.ENDED]
    data: event_data.EndedDataView


AnyEventView = Annotated[
    InQueueEventView
    | PlanningEventView
    | FileEventView
    | StartedEventView
    | InstanceStartedEventView
    | InstanceEndedEventView
    | StepStartedEventView
    | StepEndedEventView
    | StepClearedEventView
    | WaitingEventView
    | NodeEndedEventView
    | SparesStartedEventView
    | TransferringEventView
    | ReceivedEventView
    | QueuedEventView
    | WarningEventView
    | EndedEventView,
    Field(discriminator="kind"),
]
_ADAPTER: TypeAdapter[AnyEventView] = TypeAdapter(AnyEventView)


class EventsView(ListDocument):
    """Events of a workflow, in their order."""

    kind: Literal["events"] = "events"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    events: tuple[AnyEventView, ...]

    @property
    def entries(self) -> Sequence[EventView]:
        return self.events

    @classmethod
    def of(cls, events: Iterable[Event]) -> EventsView:
        """View of events."""
        return cls(events=tuple(map(EventView.of, events)))
