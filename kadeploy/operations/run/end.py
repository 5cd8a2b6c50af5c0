# SPDX-License-Identifier: Apache-2.0
"""The end of an operation: records, boot profiles of nodes that were not touched, leases."""

from __future__ import annotations

from kadeploy.operations.run.attempt import attempt
from kadeploy.operations.run.records import OperationRecords
from kadeploy.store.trouble import StoreAwayError, StoreLostError
from kadeploy.vocabulary.workflow import State
from kadeploy.workflow.engine import Engine
from kadeploy.workflow.phase import Phase


async def finish(records: OperationRecords, engine: Engine, state: State, *, troubled: bool = False) -> None:
    """Write the end of an operation: first what others rely on, then what must not hide its result.

    ``troubled``: the store has ended it, as was told; where it still does not work, nothing else is tried.
    Raises what the first fails by where nothing else has failed: not in place of another error, nor of a
    cancellation.
    """
    leases, held = records.leases, engine.in_phase(Phase.HELD)
    phases = {phase: engine.in_phase(phase) for phase in Phase if phase.ended}
    remains = f"{records.wid} remains recorded as running"
    unrecorded = await attempt(remains, records.end(state, phases), told=troubled)
    if isinstance(unrecorded, StoreAwayError | StoreLostError):
        if troubled or state not in (State.HELD, State.DONE):
            return
        raise unrecorded
    holding = leases.hold(held, records.plan.request.hold_seconds)
    unheld = await attempt("leases of held nodes end with this process", holding)
    for run in records.runs:
        await attempt("boot profiles are not restored", run.restore_profiles(leases.kept))
        await attempt("statistics are not complete", records.add_statistics(run))
    await attempt("leases remain until this process ends", leases.release(held))
    failure = unrecorded or unheld
    if failure and state in (State.HELD, State.DONE):
        raise failure
