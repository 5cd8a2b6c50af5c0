# SPDX-License-Identifier: Apache-2.0
"""Plans of faults: what they give to which node, and everything that is wrong in one at once.

Each file of tests/data/fault_plans is a plan for a lab of ten container nodes, with what comes of it in
comments: ``#= NODE: FAULT EXPECT`` for each fault, ``#! LINE:COLUMN: MESSAGE`` for each problem.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kadeploy.errors import FileError
from kadeploy.lab.faults import plan_file
from kadeploy.lab.plan import LabPlan

CASES = sorted((Path(__file__).parents[3] / "data" / "fault_plans").glob("*.yaml"))
HERE = Path("/nowhere")
LAB = LabPlan(
    name="l", count=10, state=HERE, config=HERE, deploy_env=HERE, postinstall=HERE, driver="container"
)


def comments(case: Path, mark: str) -> list[str]:
    return re.findall(rf"^#{re.escape(mark)} (.*)$", case.read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_plans(case: Path) -> None:
    problems = comments(case, "!")
    if problems:
        with pytest.raises(FileError) as refused:
            plan_file.load(case, LAB)
        assert [str(problem).removeprefix(f"{case}:") for problem in refused.value.problems] == problems
        return
    assigned = plan_file.load(case, LAB).assign(LAB, None)
    told = [f"{fault.node}: {fault.setting} {fault.expect}".rstrip() for fault in assigned]
    assert told and told == comments(case, "=")


def test_another_seed_draws_others() -> None:
    plan = plan_file.load(Path(__file__).parents[3] / "data" / "fault_plans" / "random.yaml", LAB)
    drawn = {tuple(fault.node for fault in plan.assign(LAB, seed)) for seed in range(20)}
    assert len(drawn) > 5
    assert all(node not in ("node-1", "node-2") for nodes in drawn for node in nodes[2:])
