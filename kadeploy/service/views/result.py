# SPDX-License-Identifier: Apache-2.0
"""Document of the result of an operation: kadeploy, kareboot and kapower with --json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from kadeploy.service.views.view import Document, Maybe, Number, View
from kadeploy.workflow.phase import Phase

if TYPE_CHECKING:
    from kadeploy.operations.result import NodeResult, OperationResult
    from kadeploy.store.receptions import Reception


class ReceptionView(View):
    """Figures of a node's last broadcast: seconds until its verdict, rate in bytes per second.

    ``lane`` is the last one in which the node was (0: the chain that began first), ``position`` its rank
    there. ``moved`` counts how often it was taken out of its lane, ``notes`` are the reasons.
    """

    ok: bool
    bytes: int
    seconds: Number
    rate: int
    lane: int
    position: int
    moved: int
    notes: tuple[str, ...]

    @classmethod
    def of(cls, reception: Reception) -> ReceptionView:
        """View of a reception."""
        return cls(
            ok=reception.ok,
            bytes=reception.bytes,
            seconds=round(reception.seconds, 3),
            rate=round(reception.rate),
            lane=reception.lane,
            position=reception.position,
            moved=reception.moved,
            notes=reception.notes,
        )


class NodeResultView(View):
    """Result of a node; ``phase`` is ok, ko, held or aborted.

    ``step`` is Instance-micro-step, ``cause`` the class of what failed; '' for a good node, as ``reason`` and
    ``evidence``. ``power`` is on or off, and absent where nobody looked; ``broadcast`` is absent where no
    image was sent to the node. ``proof`` is the level of the proof of the miniOS, and ``minios_key`` its
    public host key; both are absent where the node has booted none. ``address`` is the one that clusters.conf
    gives.
    """

    node: str
    phase: Phase
    step: str
    cause: str
    reason: str
    evidence: str
    host_keys: tuple[str, ...]
    power: Maybe[str] = None
    broadcast: Maybe[ReceptionView] = None
    address: str
    proof: Maybe[str] = None
    minios_key: Maybe[str] = None

    @property
    def good(self) -> bool:
        """Report that the node reached the wanted end, or is held at a breakpoint."""
        return self.phase is Phase.OK or (self.phase is Phase.HELD and not self.reason)

    @property
    def error(self) -> str:
        """``Instance-micro: reason``, as in Kadeploy3's lists and statistics; '' for a good node."""
        return f"{self.step}: {self.reason}" if self.reason else ""

    @classmethod
    def of(cls, node: NodeResult) -> NodeResultView:
        """View of a node's result."""
        return cls(
            node=node.node,
            phase=node.phase,
            step=node.place,
            cause=node.cause,
            reason=node.reason,
            evidence=node.evidence,
            host_keys=node.host_keys,
            power=node.power or None,
            broadcast=ReceptionView.of(node.reception) if node.reception else None,
            address=node.address,
            proof=node.proof or None,
            minios_key=node.minios_key or None,
        )


class ResultView(Document):
    """Result of an operation: that of each node that had begun, in the order of the request.

    ``seconds`` are those of the whole operation; it has succeeded with ``enough`` good nodes.
    """

    kind: Literal["result"] = "result"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    wid: str
    seconds: Number
    nodes: tuple[NodeResultView, ...]
    enough: int

    def in_phase(self, phase: Phase) -> list[NodeResultView]:
        """Nodes that ended in a phase."""
        return [node for node in self.nodes if node.phase is phase]

    @classmethod
    def of(cls, result: OperationResult) -> ResultView:
        """View of a result."""
        nodes = tuple(map(NodeResultView.of, result.nodes))
        return cls(wid=result.wid, seconds=round(result.seconds, 3), nodes=nodes, enough=result.enough)
