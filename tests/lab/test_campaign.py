# SPDX-License-Identifier: Apache-2.0
"""Deployments with killed, stopped and misled commands, a store that goes away, no boot server: no lie.

A round is reproduced by its number: `bin/test tests/lab/test_campaign.py -k 'round-7]'`. By night there are
ten times as many: `bin/test --nightly tests/lab/test_campaign.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from .campaign.run import carry_out
from .campaign.scenario import Outage, Trouble, draw
from .campaign.surroundings import Surroundings
from .laboratory import Laboratory

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.nightly,
    pytest.mark.needs("faketime", "curl"),
    pytest.mark.deploys("fleet-min"),
    pytest.mark.timeout(400),
]

NODES = ("node-1", "node-2", "node-3", "node-4")
USUAL, NIGHTLY = 5, 50  # rounds, each of as many deployments as there are nodes
CONTAINERS = ("--driver", "container", "--boot-delay", "0.5", "--boot-spread", "0", "--rate", "200mbit")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "round_number" in metafunc.fixturenames:
        nightly = metafunc.config.getoption("nightly")
        metafunc.parametrize(
            "round_number", range(NIGHTLY if nightly else USUAL), ids=lambda number: f"round-{number}"
        )


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Laboratory, Surroundings]]:
    lab = Laboratory(f"t-{os.getpid()}-camp", tmp_path_factory.mktemp("lab"))
    lab.emulated = False
    try:
        lab.up(len(NODES), *CONTAINERS)
        with Surroundings.of(lab) as around:
            yield lab, around
    finally:
        lab.down()


def test_no_lie(surroundings: tuple[Laboratory, Surroundings], round_number: int) -> None:
    lab, around = surroundings
    round_ = draw(round_number, NODES)
    problems = carry_out(lab, around, round_)
    assert not problems, "\n".join([str(round_), *problems])
    rows = json.loads(lab.command("kastat", "--json"))
    assert rows and all(0 <= row[name] < 400 for row in rows for name in row if name.endswith("_duration")), (
        "durations are true, whoever sets the clock"
    )


@pytest.mark.parametrize("count", [USUAL])
def test_rounds_of_a_day_have_each_trouble(count: int) -> None:
    rounds = [draw(seed, NODES) for seed in range(count)]
    assert {one.outage for one in rounds} == set(Outage)
    assert {command.trouble for one in rounds for command in one.commands} == set(Trouble)
