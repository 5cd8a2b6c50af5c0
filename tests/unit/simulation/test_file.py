# SPDX-License-Identifier: Apache-2.0
"""The file of --simulate: its distributions, and its refusals, with the place in the file."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest
import yaml

from kadeploy.config.yaml_file import parse_text
from kadeploy.errors import FileError
from kadeploy.simulation.file import SimulationFile, StepBehaviour

CASES = yaml.safe_load((Path(__file__).parents[2] / "data" / "simulation" / "refusals.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"])
def test_a_wrong_file_is_refused_with_the_place(case: dict[str, str]) -> None:
    with pytest.raises(FileError) as caught:
        parse_text(case["text"], "what-if.yaml", SimulationFile)
    assert str(caught.value).startswith("what-if.yaml:"), "every problem has a place"
    assert case["says"] in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(FileError) as caught:
        parse_text("nodes: 0\nslow: {share: 2}\nsteps: {x: {hangs: 0}}", "f", SimulationFile)
    assert [problem.line for problem in caught.value.problems] == [1, 2, 3]


@pytest.mark.parametrize(
    ("duration", "low", "median", "high"),
    [
        (7, 7, 7, 7),
        ({"constant": 7}, 7, 7, 7),
        ({"uniform": [10, 20]}, 12, 15, 18),
        ({"normal": {"median": 100, "spread": 10}}, 91.58, 100, 108.42),
        ({"normal": {"median": 1, "spread": 10}}, 0, 1, 9.42),
        ({"lognormal": {"median": 100, "spread": 2}}, 55.80, 100, 179.21),
        ({"samples": [30, 10, 20]}, 14, 20, 26),
        ({"samples": [5]}, 5, 5, 5),
    ],
    ids=str,
)
def test_quantiles(duration: Any, low: float, median: float, high: float) -> None:
    model = StepBehaviour.model_validate({"duration": duration}).duration
    assert model is not None
    found = [model.distribution().seconds(share) for share in (0.2, 0.5, 0.8)]
    assert found == pytest.approx([low, median, high], abs=0.01)


def test_what_is_drawn_is_distributed_so() -> None:
    model = StepBehaviour.model_validate({"duration": {"lognormal": {"median": 60, "spread": 1.5}}}).duration
    assert model is not None
    drawn = sorted(model.distribution().seconds((index + 0.5) / 1000) for index in range(1000))
    assert statistics.median(drawn) == pytest.approx(60, rel=0.01)
    assert sum(40 < value < 90 for value in drawn) == pytest.approx(683, abs=2), "one spread to each side"
