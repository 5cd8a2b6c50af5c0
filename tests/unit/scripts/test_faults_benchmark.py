# SPDX-License-Identifier: Apache-2.0
"""What the benchmark of faults takes for a violation, and how it scores classes and delays."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults import judgement
from kadeploy.lab.faults import plan_file
from kadeploy.lab.plan import LabPlan

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
HERE = Path("/nowhere")


def run(**outcomes: str) -> judgement.Run:
    """A run whose nodes end so; the n-th good one is ready after 10 n seconds."""
    endings = {}
    for number, (node, outcome) in enumerate(outcomes.items(), 1):
        good = outcome.startswith("ok")
        endings[node] = judgement.Ending(
            node=node,
            phase="ok" if good else "ko",
            cause="" if good else outcome,
            reason="a step: a reason",
            evidence="",
            ready=10.0 * number if good else None,
            is_up=outcome == "ok",
        )
    return judgement.Run("run", 60.0, endings)


def test_a_run_that_ended_as_it_had_to() -> None:
    broken = [judgement.BrokenNode("b", "no-power", "power"), judgement.BrokenNode("c", "late-boot=3", "ok")]
    ended = run(a="ok", b="power", c="ok")
    assert list(judgement.violations(ended, broken, "abc")) == []


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ({"a": "ok", "b": "disk"}, "b: no-power: expected power, got disk"),
        ({"a": "ok", "b": "ok"}, "b: no-power: expected power, got ok"),
        ({"a": "disk", "b": "power"}, "a: no fault: expected ok, got disk"),
        (
            {"a": "ok but not up", "b": "power"},
            "a is said to be ok, but its console shows no deployed system",
        ),
        ({"b": "power"}, "a has no result"),
    ],
)
def test_violations(outcomes: dict[str, str], said: str) -> None:
    broken = [judgement.BrokenNode("b", "no-power", "power")]
    [found] = judgement.violations(run(**outcomes), broken, "ab")
    assert said in found


def test_scores() -> None:
    pairs = [("ok", "ok"), ("ok", "disk"), ("disk", "disk"), ("power", "disk"), ("miniOS", "miniOS")]
    scores = judgement.scores(pairs)
    found = {name: (score.precision, score.recall) for name, score in scores.items()}
    assert found == {"ok": (1, 0.5), "disk": (1 / 3, 1), "power": (None, 0), "miniOS": (1, 1)}


def test_delays_are_those_of_healthy_nodes() -> None:
    before = run(a="ok", b="ok", c="ok", d="ok")
    after = run(x="power", a="ok", b="ok", c="ok", d="disk")
    delay = judgement.delay(
        before, after, [judgement.BrokenNode("x", "", ""), judgement.BrokenNode("c", "", "")]
    )
    assert delay is not None
    assert (delay.median_before, delay.median_after, delay.last_after) == (15, 25, 30)
    assert delay.median == pytest.approx(2 / 3)


def test_the_plan_of_the_campaign_can_be_dealt() -> None:
    lab = LabPlan("l", 100, HERE, HERE, HERE, HERE, driver="container")
    broken = plan_file.load(BENCHMARKS / "faults" / "plan.yaml", lab).assign(lab, None)
    assert 14 <= len(broken) <= 15 and all(node.expect for node in broken)
