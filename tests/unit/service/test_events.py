# SPDX-License-Identifier: Apache-2.0
"""The document of events: it has all that the events of real operations have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from kadeploy.broadcast.interface import BroadcastProgress
from kadeploy.operations.run import broadcast_events, events
from kadeploy.operations.run.event_log import WorkflowEventLog
from kadeploy.service.views.event import EventsView, EventView
from kadeploy.store.receptions import Reception
from kadeploy.store.store import Store
from kadeploy.workflow.event import Event, from_json
from kadeploy.workflow.event_kind import CONTENTS, EventKind
from tests.unit.operations.conftest import (
    MakePlan,
    Script,
    Watching,
    directory,
    environment,
    make_plan,
    run,
    script,
    site,
    store,
)
from tests.unit.service.test_schemas import assert_written_by

__all__ = ["directory", "environment", "make_plan", "script", "site", "store"]

SCHEMA = EventsView.model_json_schema(mode="serialization")
BY_KIND = {
    schema["properties"]["kind"]["const"]: schema
    for schema in SCHEMA["$defs"].values()
    if "const" in schema.get("properties", {}).get("kind", {})
}
# What only machines, late nodes, files and defects bring about.
MADE = (
    events.in_queue(["node-1"], 2, 300.0),
    events.in_queue(["node-1"], 1, None),
    events.planning(["node-1"]),
    Event(EventKind.WAITING, 1.0, ("node-1",), data={"present": 1, "seconds": 2.0}),
    events.file("image", "/srv/image.tar.zst", 5, 10),
    events.queued("reboot", ["node-1"], 50),
    events.warning("the store is locked", "warning"),
    events.warning("defect", "error", "Traceback"),
    broadcast_events.transferring([BroadcastProgress("node-1", 7, 6, 10, "node-2", 0, 2)]),
    broadcast_events.received([Reception(1.0, "node-1", 0, 1, 10, 3.0, ok=False, moved=1, notes=("slow",))]),
)


def assert_whole(told: Sequence[Event]) -> None:
    """Check that views have all of these events but the number of the transition."""
    document = EventsView.of(told)
    assert [from_json(one) for one in document.to_rows()] == [one._replace(transition=0) for one in told]
    assert_written_by(EventsView, document.to_rows())


async def test_events_of_an_operation(store: Store, make_plan: MakePlan, script: type[Script]) -> None:
    script.failing = frozenset({("sync", "blue-1")})
    settings = {"spares": ("red-2",), "breakpoints": ("BootNewEnv",)}
    plan, watching = await make_plan(store, "red-1", "red-3", "blue-1", **settings), Watching()
    result = await run(script.operation(plan, store, watching))
    kept = [from_json(one) async for one in WorkflowEventLog(store, result.wid).documents()]
    assert kept == watching.told
    assert {event.kind for event in [*kept, *MADE]} == {*EventKind}
    assert_whole([*kept, *MADE])


@pytest.mark.parametrize("kind", EventKind)
def test_the_schema_has_the_data_of_each_kind(kind: EventKind) -> None:
    data: dict[str, Any] = SCHEMA["$defs"][BY_KIND[kind]["properties"]["data"]["$ref"].rpartition("/")[2]]
    content = CONTENTS[kind]
    assert data["properties"].keys() == content.known
    assert {*data.get("required", ())} == content.required
    for value in content.data:
        assert json_type(data["properties"][value.name]) == value.type, value.name


def json_type(schema: dict[str, Any]) -> str:
    """Type of the values of a schema."""
    if "$ref" in schema:
        return json_type(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    return str(schema["type"])


@pytest.mark.parametrize("kind", [kind for kind in EventKind if CONTENTS[kind].required])
def test_an_event_that_lacks_its_data_has_no_view(kind: EventKind) -> None:
    with pytest.raises(ValueError, match="data"):
        EventView.of(Event(kind, 1.0))
