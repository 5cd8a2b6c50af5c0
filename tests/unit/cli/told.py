# SPDX-License-Identifier: Apache-2.0
"""Events as displays are told them: of a workflow D-1, and as they come out of its log again."""

from __future__ import annotations

import json
from typing import Any, cast

from kadeploy.operations.plan import ClusterPlan
from kadeploy.operations.recipe import Recipes
from kadeploy.operations.run import events
from kadeploy.vocabulary.workflow import State
from kadeploy.workflow.automaton import Automaton
from kadeploy.workflow.event import Event, from_json, to_json
from kadeploy.workflow.event_kind import EventKind


def cluster(name: str, prefix: str, nodes: tuple[str, ...], automaton: Automaton) -> ClusterPlan[Any]:
    return ClusterPlan(
        cluster=name,
        prefix=prefix,
        nodes=nodes,
        automaton=automaton,
        recipes=Recipes({}),
        facts=cast("Any", None),
    )


def told(event: Event, cluster: str = "red") -> Event:
    """The event with the name of its workflow and its cluster."""
    return event.numbered(cluster, "D-1", 1)


def started(*clusters: ClusterPlan[Any]) -> Event:
    return told(events.started(clusters), "")


def ended() -> Event:
    return told(events.ended(State.DONE, {}, 1.0), "")


def node_ended(node: str, phase: str, at: float = 1.0) -> Event:
    return told(Event(EventKind.NODE_ENDED, at, (node,), data={"phase": phase}))


def read_again(event: Event) -> Event:
    """The event as another process reads it."""
    return from_json(json.loads(json.dumps(to_json(event))))
