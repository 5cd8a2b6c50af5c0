# SPDX-License-Identifier: Apache-2.0
"""Simulated deployments: determinism, rates, deadlines, windows, power, and the engine's own machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kadeploy.config.expression import Expression
from kadeploy.errors import UsageError
from kadeploy.operations.deploy.plan import DeploymentPlan
from kadeploy.simulation import behaviour, clock
from kadeploy.simulation.fates import Fates
from kadeploy.simulation.file import PowerFailure, SimulationFile, SlowNodes
from kadeploy.simulation.nodes import resize
from kadeploy.simulation.path import SpanKind, trace
from kadeploy.simulation.simulation import Simulation
from kadeploy.simulation.spending import mean_spending
from kadeploy.store.store import Store
from kadeploy.vocabulary.duration import Constant
from kadeploy.vocabulary.scope import Scope
from kadeploy.workflow.automaton import Automaton, Gathering, Instance, MacroStep, MicroStep
from kadeploy.workflow.state_machine import StateMachine
from kadeploy.workflow.transitions import Transition, decode, encode
from tests.unit.operations.conftest import MakePlan
from tests.unit.simulation.conftest import Simulate, Simulated, constant

TROUBLE = {
    "steps": {
        "wait_reboot": {"hangs": 0.05},
        "sync": {"failures": 0.1},
        "send_environment": {"failures": 0.02},
    },
    "slow": {"share": 0.1, "factor": 3},
    "power_failures": [{"share": 0.05, "first": 100, "last": 400, "returns": True}],
}


def ends(outcome: Simulated) -> list[tuple[str, float, str]]:
    return [(end.node, end.at, end.phase) for end in outcome.timeline.ends.values()]


def test_a_seed_decides_everything(simulated: Simulate) -> None:
    assert ends(simulated(40, seed=7, **TROUBLE)) == ends(simulated(40, seed=7, **TROUBLE))
    assert ends(simulated(40, seed=7, **TROUBLE)) != ends(simulated(40, seed=8, **TROUBLE))


class Memory:
    """A journal that can be read again."""

    def __init__(self) -> None:
        self.transitions: list[Transition] = []

    async def append(self, transitions: Sequence[Transition]) -> int:
        self.transitions += transitions
        return len(self.transitions)


def test_it_is_the_machine_of_real_deployments(plan: DeploymentPlan) -> None:
    """Its journal, replayed as that of a killed command would be, brings every node to the same end."""
    imagined, journal = resize(plan, 60), Memory()
    imagined = replace(imagined, request=imagined.request.changed({"spares": ()}))
    file = SimulationFile.model_validate(TROUBLE)
    simulation = Simulation(imagined, file, {}, 3, lambda _: journal)
    clock.run(simulation.run())
    machine = StateMachine(imagined.clusters[0].automaton)
    for transition in journal.transitions:
        machine.apply(decode(*encode(transition)))
    assert machine.finished
    assert {name: (node.ended, node.phase) for name, node in machine.nodes.items()} == {
        end.node: (end.at, end.phase) for end in simulation.clusters[0].timeline.ends.values()
    }


def test_rates_are_those_of_the_file(simulated: Simulate) -> None:
    steps = constant(sync={"duration": 1, "failures": 0.2}, check_kernel_files={"duration": 1, "hangs": 0.1})
    outcome = simulated(400, steps=steps)
    counts = {step.micro: step.counts for step in outcome.forecast.steps}
    assert counts["sync"].failures / counts["sync"].runs == pytest.approx(0.2, abs=0.05)
    checks = counts["check_kernel_files"]
    assert checks.hangs / checks.runs == pytest.approx(0.1, abs=0.04)
    assert checks.step_deadlines == checks.hangs and checks.failures == 0


def test_chance_is_even_and_of_each_run_its_own() -> None:
    fates = Fates(1, SlowNodes(share=0.3, factor=5), ())
    drawn = [share for number in range(5000) for share in fates.shares("sync", f"node-{number}", 0)]
    tenths = Counter(int(share * 10) for share in drawn)
    assert all(900 < tenths[tenth] < 1100 for tenth in range(10))
    assert len(set(drawn)) == len(drawn)
    slow = sum(fates.factor(f"node-{number}") == 5 for number in range(5000))
    assert slow == pytest.approx(1500, abs=130)


def test_the_window_is_the_one_of_the_site(simulated: Simulate) -> None:
    """120 nodes through a window of 50 in three turns of 10 s; the order of their waits is their own."""
    outcome = simulated(120, steps=constant(reboot={"duration": 10, "hangs": 0, "failures": 0}))
    forecast = outcome.forecast
    assert forecast.phases == {"ok": 120}
    assert forecast.seconds == pytest.approx(30, abs=3)
    windows = mean_spending("red", outcome.timeline)[0].windows
    assert windows == pytest.approx((50 * 0 + 50 * 10 + 20 * 20) / 120, abs=1)
    assert [item.kind for item in forecast.longest if item.seconds > 15] == [SpanKind.WINDOW]


def test_a_hang_lasts_until_the_deadline(simulated: Simulate) -> None:
    outcome = simulated(3, steps=constant(wait_reboot={"duration": 5, "hangs": 1, "failures": 0}))
    forecast = outcome.forecast
    assert forecast.phases == {"ko": 3} and forecast.after(0.5) is None
    assert forecast.seconds == pytest.approx(3 * 300), "three attempts of 300 s"
    assert forecast.failures == {"SetDeploymentEnvUntrusted-wait_reboot": 3}


def test_a_step_that_is_longer_than_its_timeout_ends_in_it(simulated: Simulate) -> None:
    outcome = simulated(2, steps=constant(sync={"duration": 700, "hangs": 0, "failures": 0}))
    step = next(step for step in outcome.forecast.steps if step.micro == "sync")
    assert (step.counts.step_deadlines, step.counts.runs, step.p99, step.timeout) == (6, 6, 700, 600)


@pytest.mark.parametrize(("returns", "phase"), [(True, "ok"), (False, "ko")])
def test_power_comes_back_with_a_reboot_or_never(simulated: Simulate, returns: bool, phase: str) -> None:
    failure = {"share": 1, "first": 1, "last": 2, "returns": returns}
    steps = constant(wait_reboot={"duration": 5, "hangs": 0, "failures": 0})
    outcome = simulated(4, steps=steps, power_failures=[failure])
    assert Counter(end[2] for end in ends(outcome)) == {phase: 4}
    assert min(end[1] for end in ends(outcome)) > 300, "the first attempt is lost"


def test_losses_are_drawn_in_their_span() -> None:
    fates = Fates(0, SlowNodes(), [PowerFailure(share=0.5, first=10, last=20)])
    losses = [loss.at for number in range(400) for loss in fates.losses(f"n{number}")]
    assert len(losses) == pytest.approx(200, abs=40)
    assert min(losses) >= 10 and max(losses) <= 20


def test_a_critical_path_has_no_gap(simulated: Simulate) -> None:
    """Its spans add up to the end of the node, through windows, graces, failed attempts, failed nodes."""
    trouble = TROUBLE | {"power_failures": [{"share": 0.05}]}
    timeline = simulated(80, seed=4, limits={"spares": ("red-3",)}, **trouble).timeline
    kinds: Counter[SpanKind] = Counter()
    for end in timeline.good():
        spans = list(trace(timeline, end.node))
        kinds.update(span.kind for span in spans)
        assert sum(span.seconds for span in spans) == pytest.approx(end.at)
    assert set(kinds) == set(SpanKind)


def test_the_time_of_a_good_node_is_spent_completely(simulated: Simulate) -> None:
    timeline = simulated(80, seed=2, **TROUBLE).timeline
    spent = sum(s.work + s.lost + s.windows + s.gathering for s in mean_spending("red", timeline))
    good = timeline.good()
    assert spent == pytest.approx(sum(end.at for end in good) / len(good))


def test_late_nodes_are_broadcast_to_on_their_own(simulated: Simulate) -> None:
    slow = {"share": 0.2, "factor": 20}
    steps = constant(wait_reboot={"duration": {"uniform": [8, 10]}, "hangs": 0, "failures": 0})
    forecast = simulated(50, steps=steps, slow=slow).forecast
    assert forecast.phases == {"ok": 50}
    assert len(forecast.cohorts) > 1 and sum(forecast.cohorts) == 50


async def test_imagined_nodes_are_spread_over_the_clusters(make_plan: MakePlan, tmp_path: Path) -> None:
    async with Store.open(tmp_path / "store.sqlite") as store:
        plan = await make_plan(store, "red-1", "red-2", "blue-1")
    clusters = resize(plan, 1000).clusters
    assert [(cluster.cluster, len(cluster.nodes)) for cluster in clusters] == [("red", 666), ("blue", 334)]
    assert clusters[0].automaton == plan.clusters[0].automaton


def test_a_deadline_and_enough_nodes_end_it(simulated: Simulate) -> None:
    steps = constant(wait_reboot={"duration": {"uniform": [10, 110]}, "hangs": 0, "failures": 0})
    whole = simulated(60, steps=steps).forecast
    ended = simulated(60, steps=steps, limits={"deadline": Expression("150")}).forecast
    assert ended.seconds == 150 < whole.seconds
    assert ended.good == [at for at in whole.good if at < 150]
    assert ended.phases["aborted"] == 60 - len(ended.good) > 0
    enough = simulated(60, steps=steps, limits={"min_ok": 30, "stop_at_min_ok": True}).forecast
    assert enough.phases == {"ok": 30, "aborted": 30} and enough.seconds == enough.good[-1]


def test_spares_take_the_places_of_failed_nodes(simulated: Simulate, plan: DeploymentPlan) -> None:
    steps = constant(sync={"duration": 1, "hangs": 0, "failures": 0.95})
    outcome = simulated(1, steps=steps, limits={"spares": plan.request.spares})
    assert outcome.forecast.spares >= 1 and outcome.forecast.nodes == 1
    ends = outcome.timeline.ends
    assert ends["red-imagined-1"].phase == "ko"
    assert outcome.timeline.stays["red-3"][0].asked == ends["red-imagined-1"].at


def test_spares_of_another_cluster_begin_together(simulated: Simulate, plan: DeploymentPlan) -> None:
    steps = constant(wait_reboot={"duration": 5, "hangs": 1, "failures": 0})
    forecast = simulated(3, steps=steps, limits={"spares": plan.request.spares}).forecast
    assert forecast.phases == {"ko": 6} and forecast.seconds == pytest.approx(2 * 3 * 300)


def test_an_operation_of_the_user_is_a_micro_step(plan: DeploymentPlan) -> None:
    file = SimulationFile.model_validate({"steps": {"sync-mine": {"duration": 1}, "kexec": {"duration": 1}}})
    with pytest.raises(UsageError, match="no micro-step sync-mine"):
        behaviour.check_names(file, [plan.clusters[0].automaton])
    [macro, *_] = plan.clusters[0].automaton.macrosteps
    steps = (MicroStep("sync-mine", Scope.NODE, Expression("9"), "sync-mine"),)
    automaton = Automaton((MacroStep(macro.name, (Instance("I", steps, Expression("9")),)),), Gathering(1, 0))
    behaviour.check_names(file, [automaton])
    assert behaviour.of_automaton(automaton, 0, file, ())["I", "sync-mine"].duration == Constant(1)
    known = behaviour.of_automaton(automaton, 0, SimulationFile(), ())["I", "sync-mine"]
    assert known.source == "default"
