# SPDX-License-Identifier: Apache-2.0
"""Samples of what micro-steps took: the latest ones, by outcome, of some hosts."""

from __future__ import annotations

from kadeploy.store import samples, statistics, workflows
from kadeploy.store.samples import StepSamples
from kadeploy.store.statistics import StepRun
from kadeploy.store.store import Store
from kadeploy.vocabulary.scope import Scope
from kadeploy.vocabulary.workflow import WorkflowKind
from kadeploy.workflow.state_machine import StateMachine
from kadeploy.workflow.transitions import Done, Started
from tests.unit.workflow.world import automaton, instance, micro


def a_run(at: float, duration: float, *, node: str = "n1", ok: bool = True, reason: str = "") -> StepRun:
    return StepRun(node, "M", "I", 0, "x", at, duration, ok, reason)


async def read(store: Store, runs: list[StepRun], at_most: int = 100) -> list[StepSamples]:
    workflow = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {})
    await statistics.add_steps(store, workflow.id, runs)
    return await samples.read(store, ["n1", "n2"], at_most)


async def test_outcomes_are_told_apart(store: Store) -> None:
    found = await read(
        store,
        [
            a_run(1, 9.0),
            a_run(2, 8.0, node="n2"),
            a_run(3, 60.0, ok=False, reason="Timeout in the x step after 60 s"),
            a_run(4, 2.0, ok=False, reason="mkfs failed"),
            a_run(5, 1.0, node="elsewhere"),
        ],
    )
    assert found == [StepSamples("I", "x", good=(8.0, 9.0), failed=(2.0,), timeouts=1)]
    assert found[0].runs == 4


async def test_only_the_latest_count(store: Store) -> None:
    [found] = await read(store, [a_run(day, float(day)) for day in range(50)], at_most=10)
    assert found.good == tuple(float(day) for day in range(40, 50))


async def test_nothing_is_known(store: Store) -> None:
    assert await read(store, []) == []


def test_the_engine_says_timeout_as_it_is_looked_for() -> None:
    for limit in ("3", "0"):  # of the instance; without one the micro-step's own
        machine = StateMachine(automaton([instance("I", micro("x", Scope.NODE), timeout=limit)]))
        machine.apply(Started(0, ("n1",)))
        machine.apply(Done(3, 1, "n1", None, timed_out=True))
        failure = machine.nodes["n1"].failure
        assert failure is not None and failure.reason.startswith(samples.TIMEOUT)
