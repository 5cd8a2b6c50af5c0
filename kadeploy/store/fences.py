# SPDX-License-Identifier: Apache-2.0
"""Fences: the number under which a node was taken. It grows with each taking, whoever takes the node.

Every write about a node, and every order to it, is made under the number that its lease had when it was
taken. Who has lost the node has no lease with that number, also where it was stopped meanwhile, and knows
nothing of its loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from kadeploy.errors import RefusedError
from kadeploy.nodes import fold
from kadeploy.store.chunks import chunks
from kadeploy.store.store import Store
from kadeploy.store.tables import fences, leases

_LEASED = select(leases.c.node, leases.c.workflow_id, leases.c.fence)

# Called in a transaction, with the nodes that it is about; raises LostNodesError.
Guard = Callable[[Connection, Sequence[str]], None]


class LostNodesError(RefusedError):
    """Loss of nodes that another operation has taken."""

    def __init__(self, nodes: Sequence[str]) -> None:
        super().__init__(f"another operation has taken {fold(nodes)}")
        self.nodes = tuple(nodes)


def unguarded(_: Connection, __: Sequence[str]) -> None:
    """Guard of who has no lease, and needs none."""


def raise_numbers(connection: Connection, nodes: Iterable[str]) -> dict[str, int]:
    """New numbers of nodes that are being taken."""
    numbers: dict[str, int] = {}
    for chunk in chunks(list(nodes)):
        known = select(fences.c.node, fences.c.number).where(fences.c.node.in_(chunk))
        numbers |= dict.fromkeys(chunk, 1) | {row.node: row.number + 1 for row in connection.execute(known)}
    rows = [{"node": node, "number": number} for node, number in numbers.items()]
    if rows:
        statement = insert(fences)
        replaced = {"number": statement.excluded.number}
        connection.execute(statement.on_conflict_do_update(index_elements=["node"], set_=replaced), rows)
    return numbers


class Fences:
    """Fences of the nodes that one workflow has taken in this process, by their ``numbers``; none yet."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._workflow_id = ""
        self.numbers: Mapping[str, int] = {}

    def set(self, workflow_id: str, numbers: Mapping[str, int]) -> None:
        """Take the numbers under which a workflow has leased its nodes."""
        self._workflow_id, self.numbers = workflow_id, numbers

    async def check(self, nodes: Sequence[str]) -> None:
        """Raises LostNodesError where some nodes are not ours any more."""
        if self.numbers:
            await self._store.read(lambda connection: self.guard(connection, nodes))

    def guard(self, connection: Connection, nodes: Sequence[str]) -> None:
        """The same inside of a transaction. Who has leased nothing, as for a question, needs no lease.

        Of the workflow's nodes that do not go on, and were not leased, the results may be written again.
        """
        if not self.numbers:
            return
        found: dict[str, int] = {}
        for chunk in chunks(nodes):
            rows = connection.execute(_LEASED.where(leases.c.node.in_(chunk)))
            found |= {
                row.node: row.fence
                for row in rows
                if row.node in self.numbers or row.workflow_id != self._workflow_id
            }
        if lost := [node for node in nodes if found.get(node) != self.numbers.get(node)]:
            raise LostNodesError(lost)
