# SPDX-License-Identifier: Apache-2.0
"""Counts of what the store has now: nodes, workflows that have not ended, slots of windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from kadeploy.local.process import Process
from kadeploy.store.store import Store
from kadeploy.store.tables import nodes, window_claims, workflows
from kadeploy.vocabulary.workflow import State


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """Counts: nodes by state, workflows by kind and state, slots by window that are held or waited for."""

    nodes: Mapping[str, int] = field(default_factory=dict)
    workflows: Mapping[tuple[str, str], int] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)


async def count(store: Store) -> StoreCounts:
    """Count; raises ServiceError where the store does not work."""
    lasting = [str(state) for state in State if not state.ended]
    by_state = select(nodes.c.state, func.count()).group_by(nodes.c.state)
    unended = (
        select(workflows.c.kind, workflows.c.state, func.count())
        .where(workflows.c.state.in_(lasting))
        .group_by(workflows.c.kind, workflows.c.state)
    )
    claims = window_claims.c
    slots = select(claims.window, claims.owner, func.sum(claims.held), func.sum(claims.waiting)).group_by(
        claims.window, claims.owner
    )

    def find(connection: Connection) -> StoreCounts:
        held, waiting = Counter[str](), Counter[str]()
        for window, owner, has, wants in connection.execute(slots):
            if not (owner and Process.parse(owner).is_dead()):
                held[window] += has
                waiting[window] += wants
        return StoreCounts(
            nodes={row[0]: row[1] for row in connection.execute(by_state)},
            workflows={(kind, state): number for kind, state, number in connection.execute(unended)},
            held=held,
            waiting=waiting,
        )

    return await store.read(find)
