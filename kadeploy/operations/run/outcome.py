# SPDX-License-Identifier: Apache-2.0
"""Outcome of an operation: which states and records its nodes get. Each kind of operation has its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic

from kadeploy.operations.plan import Facts, Plan
from kadeploy.store import node_states
from kadeploy.store.fences import Guard
from kadeploy.store.node_states import NodeState
from kadeploy.store.store import Store
from kadeploy.vocabulary.workflow import WorkflowKind
from kadeploy.workflow.phase import Phase

HostKeys = Mapping[str, tuple[str, ...]]


class Outcome(ABC, Generic[Facts]):
    """States and records of the nodes of one kind of operation.

    ``busy`` is their state while the operation works on them. ``takes_nodes``: the nodes are leased, and
    their states and statistics recorded. ``environment`` and ``image_sha256`` name in statistics, as
    name:version and as a digest, what was deployed.
    """

    kind: ClassVar[WorkflowKind]
    busy: ClassVar[NodeState]
    takes_nodes = True
    environment = ""
    image_sha256 = ""

    def __init__(self, plan: Plan[Facts]) -> None:
        self._plan = plan

    @abstractmethod
    def state_after(self, name: str, phase: Phase) -> NodeState:
        """State of a node that has ended in a phase."""

    async def record_states(
        self,
        store: Store,
        wid: str,
        state: NodeState,
        names: Sequence[str],
        host_keys: HostKeys,
        guard: Guard,
    ) -> None:
        """Record the state of nodes; their disks are as they were.

        ``host_keys`` maps nodes to the keys of the systems by which they are recognised. Raises
        LostNodesError where ``guard`` does, and records nothing then.
        """
        user = self._plan.request.user
        await node_states.change(store, names, state, user=user, workflow_id=wid, guard=guard)
