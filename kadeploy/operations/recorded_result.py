# SPDX-License-Identifier: Apache-2.0
"""Result of a workflow as its journal has it, for those who have not carried it out."""

from __future__ import annotations

from kadeploy.config.site import Site
from kadeploy.errors import RefusedError
from kadeploy.operations import kinds
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.request import Request
from kadeploy.operations.result import NodeResult, OperationResult
from kadeploy.operations.run.journal import WorkflowJournal
from kadeploy.operations.workflows import clusters_of, look_at
from kadeploy.steps.workbench import Memory, NodeFacts
from kadeploy.store import receptions
from kadeploy.store.receptions import Reception
from kadeploy.store.store import Store
from kadeploy.store.workflows import Workflow
from kadeploy.workflow.automaton import Automaton
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from kadeploy.workflow.failure import reason
from kadeploy.workflow.state_machine import StateMachine
from kadeploy.workflow.transitions import Transition


async def recorded_result(store: Store, site: Site, workflow: Workflow) -> OperationResult:
    """Results of every node that has ended, in the order of the request.

    Raises RefusedError for a workflow whose nodes have not begun, and for one that this version cannot read.
    """
    clusters = clusters_of(workflow)
    if not clusters:
        raise RefusedError(f"no node of {workflow.id} has begun")
    request = kinds.recorded(workflow)
    received = await receptions.latest(store, workflow.id)
    addresses = {name: node.address for name, node in site.nodes.items()}
    found: dict[str, NodeResult] = {}
    for cluster in clusters:
        ended, facts = await _replay(WorkflowJournal(store, workflow.id, cluster))
        found |= {
            name: _result(event, facts.get(name, NodeFacts()), addresses.get(name, ""), received.get(name))
            for name, event in ended.items()
        }
    nodes = tuple(found[name] for name in request.claimed_nodes if name in found)
    seconds = (await look_at(store, workflow)).duration or 0.0
    return OperationResult(workflow.id, seconds, _enough(request), nodes)


async def _replay(journal: WorkflowJournal) -> tuple[dict[str, Event], dict[str, NodeFacts]]:
    """Ends of the nodes that have ended, and have not gone on since; what is known of each."""
    ended: dict[str, Event] = {}
    memory = Memory(_keep_nothing)
    machine: StateMachine | None = None

    def begin(automaton: Automaton) -> None:
        nonlocal machine
        if machine is None:
            machine = StateMachine(automaton)
        machine.automaton = automaton

    def apply(transition: Transition, number: int) -> None:
        for event in machine.apply(transition, number)[1] if machine else ():
            if event.kind is EventKind.NODE_ENDED:
                ended[event.node] = event
            elif event.kind is EventKind.STEP_STARTED:
                for name in event.nodes:
                    ended.pop(name, None)

    await journal.replay(begin, apply, memory)
    return ended, memory.facts


def _result(ended: Event, facts: NodeFacts, address: str, reception: Reception | None) -> NodeResult:
    failure = ended.failure
    return NodeResult(
        node=ended.node,
        phase=ended.phase,
        place=ended.place,
        reason=reason(failure),
        evidence=failure.evidence if failure else "",
        cause=failure.cause if failure else "",
        host_keys=facts.host_keys,
        proof=facts.minios_proof,
        minios_key=facts.minios_key if facts.minios_proof else "",
        address=address,
        power=facts.power,
        reception=reception,
    )


def _enough(request: Request) -> int:
    wanted = request.min_ok if isinstance(request, DeploymentRequest) else None
    return len(request.nodes) if wanted is None else wanted


async def _keep_nothing(node: str, facts: NodeFacts) -> None:
    """Keep no facts: the journal has them."""
