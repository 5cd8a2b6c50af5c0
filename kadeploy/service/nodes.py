# SPDX-License-Identifier: Apache-2.0
"""Nodes of a site, and what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kadeploy.config.site import Site
from kadeploy.service.views.nodes import NodesView
from kadeploy.store import leases, node_states
from kadeploy.store.store import Store


@dataclass(frozen=True, slots=True)
class NodeService:
    """Service by which programs ask what is known of nodes."""

    site: Site
    store: Store

    async def list(self, names: Sequence[str] = ()) -> NodesView:
        """States of some nodes, or of all, in the order of the configuration; raises NotFoundError."""
        nodes = self.site.find(names or self.site.nodes)
        chosen = [node.name for node in nodes]
        records, leased = await node_states.read(self.store, chosen), await leases.held(self.store, chosen)
        return NodesView.of(nodes, records, leased)
