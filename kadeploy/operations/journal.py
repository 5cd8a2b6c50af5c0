# SPDX-License-Identifier: Apache-2.0
"""A workflow's journal in the store: its automaton, the engine's events, what steps have learned."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from kadeploy.steps.workbench import Memory, NodeFacts
from kadeploy.store import journal
from kadeploy.store.store import Store
from kadeploy.workflow.automaton import Automaton, from_mapping, to_mapping
from kadeploy.workflow.events import Event, decode, encode

FACTS = "Facts"
AUTOMATON = "Automaton"


class WorkflowJournal:
    """The entries of one cluster's automaton, which bear the cluster's name."""

    def __init__(self, store: Store, wid: str, cluster: str) -> None:
        self._store = store
        self._wid = wid
        self.cluster = cluster

    async def append(self, events: Sequence[Event]) -> None:
        """Write events; they are in the store when this returns."""
        entries = [
            journal.JournalEntry(event.at, kind, {"cluster": self.cluster, **content})
            for event in events
            for kind, content in [encode(event)]
        ]
        await journal.append(self._store, self._wid, entries)

    async def begin(self, automaton: Automaton) -> None:
        """Write what an engine goes by; its events are replayed by the same, whatever is configured then."""
        content = {"cluster": self.cluster, "automaton": to_mapping(automaton)}
        await journal.append(self._store, self._wid, [journal.JournalEntry(time.time(), AUTOMATON, content)])

    async def keep(self, node: str, facts: NodeFacts) -> None:
        """Write what is known of a node; it is in the store when this returns."""
        content = {"cluster": self.cluster, "node": node, "facts": asdict(facts)}
        await journal.append(self._store, self._wid, [journal.JournalEntry(time.time(), FACTS, content)])

    async def replay(
        self, begin: Callable[[Automaton], None], apply: Callable[[Event], None], memory: Memory
    ) -> int:
        """Tell everything again, in its order; the number of entries."""
        entries = await self._entries()
        for kind, content in entries:
            if kind == FACTS:
                facts = content["facts"]
                memory.facts[content["node"]] = NodeFacts(**facts | {"host_keys": tuple(facts["host_keys"])})
            elif kind == AUTOMATON:
                begin(from_mapping(content["automaton"]))
            else:
                apply(decode(kind, content))
        return len(entries)

    async def _entries(self) -> list[tuple[str, dict[str, Any]]]:
        """Kinds and contents of this cluster's entries."""
        entries = [(entry.kind, dict(entry.payload)) for entry in await journal.read(self._store, self._wid)]
        return [pair for pair in entries if pair[1].pop("cluster") == self.cluster]
