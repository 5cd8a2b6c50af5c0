# SPDX-License-Identifier: Apache-2.0
"""Broadcasts to nodes that die, hang, fail or lie, drawn by lot: every node has its right verdict.

A scenario is reproduced by its number: `bin/test tests/lab/test_broadcast_faults.py -k 'seed-7]'`. By night:
`bin/test --nightly tests/lab/test_broadcast_faults.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import pytest

from kadeploy.broadcast.interface import RelayResult, Trouble

from .broadcast.scenario import Fault, Kind, Scenario, draw, problems

ROOT = Path(__file__).parents[2]
USUAL, NIGHTLY = 12, 200
AT_ONCE = 2
NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        nightly = metafunc.config.getoption("nightly")
        metafunc.parametrize("seed", range(NIGHTLY if nightly else USUAL), ids=lambda seed: f"seed-{seed}")


class Campaign:
    """Runs scenarios, some at once, and has their reports by seed."""

    def __init__(self, seeds: list[int], stack: ExitStack) -> None:
        self._outputs: list[IO[bytes]] = []
        self._reports: dict[int, Mapping[str, Any]] = {}
        for first in range(min(AT_ONCE, len(seeds))):
            share = [str(seed) for seed in seeds[first::AT_ONCE]]
            process = subprocess.Popen(
                [*NAMESPACES, sys.executable, "-m", "tests.lab.broadcast.run", *share],
                stdout=subprocess.PIPE,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout
            self._outputs.append(process.stdout)
            stack.callback(process.stdout.close)
        self._share = {seed: self._outputs[number % AT_ONCE] for number, seed in enumerate(seeds)}

    def report(self, seed: int) -> Mapping[str, Any]:
        """Waits for it."""
        while seed not in self._reports:
            line = self._share[seed].readline()
            assert line, "the scenarios ended early, see standard error"
            report = json.loads(line)
            self._reports[report["seed"]] = report
        return self._reports[seed]


@pytest.fixture(scope="module")
def campaign(request: pytest.FixtureRequest) -> Iterator[Campaign]:
    """Of the seeds that were asked for."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    seeds = [call.params["seed"] for call in calls if call and "seed" in call.params]
    with ExitStack() as stack:
        yield Campaign(seeds, stack)


@pytest.mark.fleet
@pytest.mark.nightly
def test_broadcast_with_faults(campaign: Campaign, seed: int) -> None:
    report = campaign.report(seed)
    assert report["problems"] == [], report


def test_every_kind_of_fault_is_drawn() -> None:
    usual = [draw(seed) for seed in range(USUAL)]
    assert {fault.kind for scenario in usual for fault in scenario.faults} == set(Kind)
    assert {scenario.arity for scenario in usual} == {1, 2, 3}
    assert draw(7) == draw(7)


OK = RelayResult()
KILLED = RelayResult(Trouble.PEERS, "the relay ended")


@pytest.mark.parametrize(
    ("results", "exact", "said"),
    [
        ({"n1": OK, "n2": KILLED}, {"n1"}, []),
        ({"n1": OK, "n2": OK}, {"n1", "n2"}, []),  # killed when it had its verdict
        ({"n1": OK}, {"n1"}, ["not every node has a result"]),
        ({"n1": OK, "n2": OK}, {"n1"}, ["n2 is ok without the image"]),
        ({"n1": KILLED, "n2": KILLED}, set(), ["n1 failed: the relay ended ()"]),
        (
            {"n1": OK, "n2": RelayResult(Trouble.PEERS, "not finished within 60 s")},
            {"n1"},
            ["n2 failed for another reason than kill: not finished within 60 s"],
        ),
    ],
)
def test_judge(results: dict[str, RelayResult], exact: set[str], said: list[str]) -> None:
    scenario = Scenario(0, ("n1", "n2"), 1000, 1, (Fault(Kind.KILL, "n2", 0.5, 1.0),))
    assert problems(scenario, results, exact) == said
