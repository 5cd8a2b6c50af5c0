# SPDX-License-Identifier: Apache-2.0
"""Document of nodes: what is known of each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from kadeploy.service.views.view import Document, View

if TYPE_CHECKING:
    from kadeploy.config.clusters import Node
    from kadeploy.store.minios_boots import MiniosBoot
    from kadeploy.store.node_states import NodeRecord


class NodeView(View):
    """Node and the last operation on it; ``state``, ``user`` and ``wid`` are empty where none was recorded.

    ``environment`` is name:version, ``device`` where it ran from; both are empty where they are unknown.
    ``since`` is the time of the last change in ISO 8601; ``leased_by`` the workflow that has the node now,
    ``leased_until`` the time until which that holds it, null where the lease has no such end. ``proof`` is
    the level by which the miniOS that was booted last has proven itself, '' where none has, ``proven`` when.
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
    leased_until: str | None
    proof: str
    proven: str | None

    @property
    def interrupted(self) -> bool:
        """Report that the operation that works on the node, by its state, has ended without telling more."""
        return not self.leased_by and self.state in ("deploying", "rebooting", "powering", "held")

    @classmethod
    def of(
        cls,
        node: Node,
        record: NodeRecord | None,
        boot: MiniosBoot | None,
        *,
        leased_by: str,
        leased_until: float | None,
    ) -> NodeView:
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
                "since": _time(record.date),
            }
        return cls.model_validate(
            {
                "node": node.name,
                "cluster": node.cluster,
                "address": node.address,
                **known,
                "leased_by": leased_by,
                "leased_until": _time(leased_until),
                "proof": boot.proof if boot else "",
                "proven": _time(boot.proven if boot else None),
            }
        )


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


class NodesView(Document):
    """Nodes in the order of the configuration, or of the request."""

    kind: Literal["nodes"] = "nodes"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    nodes: tuple[NodeView, ...]
