# SPDX-License-Identifier: Apache-2.0
"""Nodes of a site, and what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kadeploy import nodes as node_sets
from kadeploy.config.site import Site
from kadeploy.errors import UsageError
from kadeploy.service.views.nodes import NodesView, NodeView
from kadeploy.store import leases, minios_boots, node_states
from kadeploy.store.store import Store


@dataclass(frozen=True, slots=True)
class NodeService:
    """Service by which programs ask what is known of nodes."""

    site: Site
    store: Store

    async def list(self, names: Sequence[str] = ()) -> NodesView:
        """States of some nodes, in their order, or of all, in the order of the configuration.

        Names may be node sets. Raises NotFoundError, UsageError for what is no node set.
        """
        expanded = _expand(names)
        nodes = self.site.find(expanded or self.site.nodes)
        chosen = [node.name for node in nodes]
        # Both before and after: the lease of an operation begins before the states that it writes, and ends
        # behind them, so that no node looks as if its operation were gone.
        before = await leases.held(self.store, chosen)
        records = await node_states.read(self.store, chosen)
        boots = await minios_boots.read(self.store, chosen)
        leased = before | await leases.held(self.store, chosen)
        ends = await leases.read_ends(self.store, chosen)
        views = (
            NodeView.of(
                node,
                records.get(node.name),
                boots.get(node.name),
                leased_by=leased.get(node.name, ""),
                leased_until=ends.get(node.name),
            )
            for node in nodes
        )
        return NodesView(nodes=tuple(views))


def _expand(texts: Sequence[str]) -> dict[str, None]:
    """Names in node sets; raises UsageError before there are more than any site has."""
    found: dict[str, None] = {}
    for text in texts:
        found.update(dict.fromkeys(node_sets.parse(text)))
        if len(found) > node_sets.MAX_NODES:
            raise UsageError(
                f"more than {node_sets.MAX_NODES} nodes are named", hint="ask for some of them, or for all"
            )
    return found
