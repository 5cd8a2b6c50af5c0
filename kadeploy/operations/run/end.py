# SPDX-License-Identifier: Apache-2.0
"""The end of an operation: records, boot profiles of nodes that were not touched, leases."""

from __future__ import annotations

from kadeploy.operations.run.attempt import attempt
from kadeploy.operations.run.records import OperationRecords
from kadeploy.vocabulary.workflow import State
from kadeploy.workflow.engine import Engine
from kadeploy.workflow.phase import Phase


async def finish(records: OperationRecords, engine: Engine, state: State) -> None:
    """Write the end of an operation: first what others rely on, then what must not hide its result.

    Raises what the first fails by where nothing else has failed: not in place of another error, nor of a
    cancellation.
    """
    leases, held = records.leases, engine.in_phase(Phase.HELD)
    phases = {phase: engine.in_phase(phase) for phase in Phase if phase.ended}
    unrecorded = await attempt(f"{records.wid} remains recorded as running", records.end(state, phases))
    holding = leases.hold(held, records.plan.request.hold_seconds)
    unheld = await attempt("leases of held nodes end with this process", holding)
    for run in records.runs:
        await attempt("boot profiles are not restored", run.restore_profiles(leases.kept))
        await attempt("statistics are not complete", records.add_statistics(run))
    await attempt("leases remain until this process ends", leases.release(held))
    failure = unrecorded or unheld
    if failure and state in (State.HELD, State.DONE):
        raise failure
