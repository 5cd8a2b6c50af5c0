# SPDX-License-Identifier: Apache-2.0
"""The workflows of the store as their users see them: what can be resumed, abandoned, or looked at."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from kadeploy.errors import RefusedError
from kadeploy.nodes import fold
from kadeploy.operations.run.journal import WorkflowJournal
from kadeploy.store import leases, node_states, workflows
from kadeploy.store.node_states import NodeRecord, NodeState
from kadeploy.store.store import Store
from kadeploy.store.workflows import State, Workflow, WorkflowKind
from kadeploy.workflow.transitions import Abandoned

UNFINISHED = (NodeState.HELD, NodeState.DEPLOYING, NodeState.REBOOTING, NodeState.POWERING)
RECENT = 24 * 3600.0  # seconds in which an ended workflow is still listed


@dataclass(frozen=True, slots=True)
class Overview:
    """A workflow, what became of its engine, and the state of its nodes that nobody else has had since."""

    workflow: Workflow
    running: bool
    nodes: tuple[NodeRecord, ...]

    @property
    def state(self) -> str:
        """The workflow's state; ``interrupted`` where its engine was killed."""
        killed = self.workflow.state is State.RUNNING and not self.running
        return "interrupted" if killed else str(self.workflow.state)


async def find(store: Store, wid: str, user: str, almighty: frozenset[str]) -> Workflow:
    """The workflow of an identifier; raises NotFoundError, RefusedError where it is another user's."""
    workflow = await workflows.read(store, wid)
    if user != workflow.user and user not in almighty:
        raise RefusedError(f"{wid} belongs to {workflow.user}")
    return workflow


async def list_recent(store: Store) -> list[Overview]:
    """Held and running workflows, and those that ended lately, oldest first."""
    since = time.time() - RECENT
    found = [w for w in await workflows.list_states(store) if w.finished is None or w.finished > since]
    return [await _overview(store, workflow) for workflow in found]


async def _overview(store: Store, workflow: Workflow) -> Overview:
    names = [name for members in workflow.request["fingerprint"]["nodes"].values() for name in members]
    states = await node_states.read(store, names)
    own = tuple(states[name] for name in names if name in states and states[name].workflow_id == workflow.id)
    held = await leases.held(store, names)
    leased = {name for name, wid in held.items() if wid == workflow.id}
    lying = {record.name for record in own if record.state is NodeState.HELD}
    return Overview(workflow, bool(leased - lying), own)


async def abandon(store: Store, workflow: Workflow) -> Sequence[str]:
    """Give up the held nodes of a workflow; they are free for others. Raises RefusedError while it runs."""
    overview = await _overview(store, workflow)
    if overview.running:
        raise RefusedError(f"{workflow.id} is running", hint="interrupt its command")
    names = [record.name for record in overview.nodes if record.state in UNFINISHED]
    if not names and workflow.finished is not None:
        raise RefusedError(f"{workflow.id} holds no node")
    for cluster, members in _by_cluster(workflow, names).items():
        await WorkflowJournal(store, workflow.id, cluster).append([Abandoned(time.time(), tuple(members))])
    # What a deployment has left on a disk nobody knows; reboots leave disks alone.
    record = node_states.record if workflow.kind is WorkflowKind.DEPLOY else node_states.change
    await record(store, names, NodeState.ABORTED, user=workflow.user, workflow_id=workflow.id)
    await leases.abandon(store, workflow.id)
    await workflows.change_state(store, workflow.id, State.ABORTED)
    return names


def _by_cluster(workflow: Workflow, names: Sequence[str]) -> dict[str, list[str]]:
    clusters: dict[str, list[str]] = {}
    for cluster, nodes in workflow.request["fingerprint"]["nodes"].items():
        if members := [name for name in nodes if name in names]:
            clusters[cluster] = members
    return clusters


def describe_nodes(overview: Overview) -> str:
    """``held node-[1-2], deployed node-3``."""
    states: dict[str, list[str]] = {}
    for record in overview.nodes:
        states.setdefault(str(record.state), []).append(record.name)
    return ", ".join(f"{state} {fold(names)}" for state, names in states.items())
