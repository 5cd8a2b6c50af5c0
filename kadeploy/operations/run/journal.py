# SPDX-License-Identifier: Apache-2.0
"""A workflow's journal in the store: its automaton, the engine's transitions, what steps have learned."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from kadeploy.errors import RefusedError
from kadeploy.local.process import Process
from kadeploy.steps.workbench import Memory, NodeFacts
from kadeploy.store import journal
from kadeploy.store.store import Store
from kadeploy.workflow.automaton import Automaton, from_mapping, to_mapping
from kadeploy.workflow.transitions import Transition, decode, encode

FACTS = "Facts"
AUTOMATON = "Automaton"
OLD_TOKEN = "boot_token"  # noqa: S105 - of a profile that an earlier version has written into a file


class WorkflowJournal:
    """The entries of one cluster's automaton, which bear the cluster's name."""

    def __init__(self, store: Store, wid: str, cluster: str) -> None:
        self._store = store
        self._wid = wid
        self.cluster = cluster

    async def append(self, transitions: Sequence[Transition]) -> int:
        """Write transitions; they are in the store when this returns the number of the last one."""
        entries = [
            journal.JournalEntry(transition.at, kind, {"cluster": self.cluster, **content})
            for transition in transitions
            for kind, content in [encode(transition)]
        ]
        return await self._write(entries)

    async def begin(self, automaton: Automaton) -> None:
        """Write what an engine goes by; its transitions are replayed by it, whatever is configured then."""
        content = {"cluster": self.cluster, "automaton": to_mapping(automaton)}
        await self._write([journal.JournalEntry(time.time(), AUTOMATON, content)])

    async def keep(self, node: str, facts: NodeFacts) -> None:
        """Write what is known of a node; it is in the store when this returns."""
        content = {"cluster": self.cluster, "node": node, "facts": asdict(facts)}
        await self._write([journal.JournalEntry(time.time(), FACTS, content)])

    async def _write(self, entries: Sequence[journal.JournalEntry]) -> int:
        """Write entries of this process; raises LostWorkflowError where another one has taken over."""
        return await journal.append(self._store, self._wid, entries, owner=str(Process.current()))

    async def replay(
        self, begin: Callable[[Automaton], None], apply: Callable[[Transition, int], None], memory: Memory
    ) -> int:
        """Tell everything again, in its order, transitions with their numbers; the number of entries.

        Raises RefusedError for an entry that this version cannot read, which another one has written.
        """
        entries = [entry for entry in await journal.read(self._store, self._wid) if self._is_own(entry)]
        for entry in entries:
            match self._decode(entry):
                case Automaton() as automaton:
                    begin(automaton)
                case node, NodeFacts() as facts:
                    memory.facts[node] = facts
                case transition:
                    apply(transition, entry.sequence)
        return len(entries)

    def _is_own(self, entry: journal.JournalEntry) -> bool:
        try:
            return bool(entry.payload["cluster"] == self.cluster)
        except (KeyError, TypeError) as error:
            raise self._unreadable(entry) from error

    def _decode(self, entry: journal.JournalEntry) -> Automaton | tuple[str, NodeFacts] | Transition:
        try:
            return _decode(entry.kind, {k: v for k, v in entry.payload.items() if k != "cluster"})
        except (KeyError, TypeError, ValueError) as error:
            raise self._unreadable(entry) from error

    def _unreadable(self, entry: journal.JournalEntry) -> RefusedError:
        return RefusedError(
            f"the journal of {self._wid} has an entry {entry.kind} that this version of kadeploy cannot read",
            hint=f"resume it with the version that began it, or give it up: `abandon` {self._wid}",
        )


def _decode(kind: str, content: Mapping[str, Any]) -> Automaton | tuple[str, NodeFacts] | Transition:
    """Decode an entry; raises KeyError, TypeError or ValueError for what this version does not know."""
    if kind == FACTS:
        facts = {name: value for name, value in content["facts"].items() if name != OLD_TOKEN}
        return content["node"], NodeFacts(**facts | {"host_keys": tuple(facts["host_keys"])})
    if kind == AUTOMATON:
        return from_mapping(content["automaton"])
    return decode(kind, content)
