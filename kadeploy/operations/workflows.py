# SPDX-License-Identifier: Apache-2.0
"""The workflows of the store as their users see them: what can be resumed, abandoned, or looked at."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kadeploy.errors import RefusedError
from kadeploy.operations.run import events
from kadeploy.operations.run.attempt import attempt
from kadeploy.operations.run.completion import complete_log
from kadeploy.operations.run.journal import WorkflowJournal
from kadeploy.operations.run.leasing import LEASE_SECONDS
from kadeploy.store import history, lease_watch, leases, node_states, workflows
from kadeploy.store.event_log import MisplacedEventsError
from kadeploy.store.node_states import NodeRecord, NodeState
from kadeploy.store.store import Store
from kadeploy.store.workflow_outcome import WorkflowOutcome
from kadeploy.store.workflows import Workflow, WorkflowSummary
from kadeploy.vocabulary.workflow import State, WorkflowKind
from kadeploy.workflow.event import Event
from kadeploy.workflow.phase import Phase
from kadeploy.workflow.transitions import Abandoned

UNFINISHED = (NodeState.HELD, NodeState.DEPLOYING, NodeState.REBOOTING, NodeState.POWERING)
_DEAD = {State.RUNNING: "interrupted", State.PLANNING: "not started", State.QUEUED: "not started"}


@dataclass(frozen=True, slots=True)
class Overview:
    """Workflow, whether a process works on it, and the nodes that nobody else has had since."""

    workflow: WorkflowSummary
    running: bool
    nodes: tuple[NodeRecord, ...]

    @property
    def state(self) -> str:
        """State of the workflow; ``interrupted``, or ``not started``, where its process has died."""
        return (
            str(self.workflow.state) if self.running else _DEAD.get(self.workflow.state, self.workflow.state)
        )

    @property
    def outcome(self) -> WorkflowOutcome:
        """Outcome of the workflow, with unknown counts where it has none."""
        return self.workflow.outcome or WorkflowOutcome()

    @property
    def environment(self) -> str:
        """Environment as ``name:version``, '' where it is unknown or there is none."""
        return self.outcome.environment

    @property
    def duration(self) -> float | None:
        """Seconds until its end, or until now while it runs; None for others, whose end is still to come.

        None are negative, though the clock may have been put back meanwhile, by which those of earlier
        versions were measured.
        """
        if self.workflow.finished is None:
            return self.workflow.elapsed if self.running else None
        if self.workflow.seconds is not None:
            return self.workflow.seconds
        return max(self.workflow.finished - self.workflow.started, 0.0)


async def list_latest(store: Store, limit: int | None) -> list[Overview]:
    """List the workflows that have not ended, and the latest ``limit`` others (None: all), newest first."""
    return await _look_at(store, await history.list_recent(store, limit))


async def look_at(store: Store, workflow: WorkflowSummary) -> Overview:
    """Overview of a workflow."""
    [overview] = await _look_at(store, [workflow])
    return overview


async def check_rest(store: Store, workflow: Workflow, hint: str) -> Overview:
    """Overview of a workflow on which nobody works; raises RefusedError where somebody does.

    Where a process of another machine may do so, that is watched for as long as a lease lasts.
    """
    overview = await look_at(store, workflow)
    seen = await lease_watch.of_workflow(store, workflow.id) if overview.running else None
    if seen and workflow.owner_lives is None and await lease_watch.outwait(store, seen, LEASE_SECONDS):
        overview = await look_at(store, workflow)
    if overview.running:
        raise RefusedError(f"{workflow.id} is running", hint=hint)
    return overview


async def _look_at(store: Store, found: Sequence[WorkflowSummary]) -> list[Overview]:
    ids = [workflow.id for workflow in found]
    nodes = await node_states.read_own(store, ids)
    working = await leases.find_working(store, ids)
    return [
        Overview(workflow, _runs(workflow, workflow.id in working), tuple(nodes.get(workflow.id, ())))
        for workflow in found
    ]


def _runs(workflow: WorkflowSummary, leased: bool) -> bool:
    """Report that a process works on a workflow; ``leased``: a living process has nodes for it.

    Of owners that are unknown or elsewhere nothing else tells; planning, which has no lease, may go on. One
    that is held or has ended has an owner while it is planned how it goes on.
    """
    lives = workflow.owner_lives
    return leased or (workflow.state.before_nodes if lives is None else lives)


async def abandon(store: Store, workflow: Workflow) -> Sequence[str]:
    """Give up the held nodes of a workflow; they are free for others. Raises RefusedError while it runs."""
    overview = await check_rest(store, workflow, "interrupt its command")
    names = [record.name for record in overview.nodes if record.state in UNFINISHED]
    if not names and workflow.finished is not None:
        raise RefusedError(f"{workflow.id} holds no node")
    if not await workflows.take_over(store, workflow.id, workflow.owner):
        raise RefusedError(f"{workflow.id} went on meanwhile", hint="`list` shows what became of it")
    for cluster, members in _by_cluster(workflow, names).items():
        await WorkflowJournal(store, workflow.id, cluster).append([Abandoned(time.time(), tuple(members))])
    # What a deployment has left on a disk nobody knows; reboots leave disks alone.
    record = node_states.record if workflow.kind is WorkflowKind.DEPLOY else node_states.change
    await record(store, names, NodeState.ABORTED, user=workflow.user, workflow_id=workflow.id)
    await leases.abandon(store, workflow.id)
    outcome = _given_up(overview.outcome)
    await workflows.change_state(store, workflow.id, State.ABORTED, outcome=outcome)
    completion = _complete(store, workflow, _end(workflow, outcome))
    await attempt(f"events are missing in the log of {workflow.id}", completion)
    return names


async def _complete(store: Store, workflow: Workflow, end: Event) -> None:
    try:
        await complete_log(store, workflow.id, clusters_of(workflow), end)
    except MisplacedEventsError:  # a follower has completed it meanwhile, but for the end
        await complete_log(store, workflow.id, clusters_of(workflow), end)


def _end(workflow: Workflow, outcome: WorkflowOutcome) -> Event:
    counts = {
        Phase.OK: outcome.ok,
        Phase.KO: outcome.ko,
        Phase.HELD: outcome.held,
        Phase.ABORTED: outcome.aborted,
    }
    return events.ended(State.ABORTED, counts, workflow.elapsed)


def _given_up(outcome: WorkflowOutcome) -> WorkflowOutcome:
    """Outcome of a workflow whose held nodes have been given up."""
    if outcome.held is None or outcome.aborted is None:
        return outcome
    return replace(outcome, held=0, aborted=outcome.aborted + outcome.held)


def _by_cluster(workflow: Workflow, names: Sequence[str]) -> dict[str, list[str]]:
    clusters: dict[str, list[str]] = {}
    for cluster, nodes in clusters_of(workflow).items():
        if members := [name for name in nodes if name in names]:
            clusters[cluster] = members
    return clusters


def clusters_of(workflow: Workflow) -> Mapping[str, Sequence[str]]:
    """Nodes of the workflow by their clusters; none of one that died in its planning."""
    nodes: Mapping[str, Sequence[str]] = workflow.request.get("fingerprint", {}).get("nodes", {})
    return nodes
