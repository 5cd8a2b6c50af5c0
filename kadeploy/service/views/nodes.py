# SPDX-License-Identifier: Apache-2.0
"""Document of nodes: what is known of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from kadeploy.service.views.view import Document, View

if TYPE_CHECKING:
    from kadeploy.config.clusters import Node
    from kadeploy.store.node_states import NodeRecord


class NodeView(View):
    """Node and the last operation on it; ``state``, ``user`` and ``wid`` are empty where none was recorded.

    ``environment`` is name:version, ``device`` where it ran from; both are empty where they are unknown.
    ``since`` is the time of the last change in ISO 8601; ``leased_by`` the workflow that has the node now.
    """

    node: str
    cluster: str
    address: str
    state: str
    user: str
    wid: str
    environment: str
    device: str
    since: str | None
    leased_by: str

    @classmethod
    def of(cls, node: Node, record: NodeRecord | None, leased_by: str) -> NodeView:
        """View of a node."""
        known = {"state": "", "user": "", "wid": "", "environment": "", "device": "", "since": None}
        if record is not None:
            version = record.environment_version
            known = {
                "state": str(record.state),
                "user": record.user,
                "wid": record.workflow_id,
                "environment": "" if version is None else f"{record.environment_name}:{version}",
                "device": record.device,
                "since": datetime.fromtimestamp(record.date, UTC).isoformat(),
            }
        return cls.model_validate(
            {
                "node": node.name,
                "cluster": node.cluster,
                "address": node.address,
                **known,
                "leased_by": leased_by,
            }
        )


class NodesView(Document):
    """Nodes in the order of the configuration."""

    kind: Literal["nodes"] = "nodes"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    nodes: tuple[NodeView, ...]

    @classmethod
    def of(
        cls, nodes: Sequence[Node], records: Mapping[str, NodeRecord], leased: Mapping[str, str]
    ) -> NodesView:
        """View of nodes; ``records`` and ``leased`` map their names to records and workflows."""
        views = (NodeView.of(node, records.get(node.name), leased.get(node.name, "")) for node in nodes)
        return cls(nodes=tuple(views))
