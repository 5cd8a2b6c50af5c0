# SPDX-License-Identifier: Apache-2.0
"""Documents that commands print, of a store with past operations: their views read them whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kadeploy.broadcast.interface import ImageSource, RelayResult, Trouble
from kadeploy.cast.cast import CastRequest
from kadeploy.operations.result import NodeResult, OperationResult
from kadeploy.operations.workflows import Overview
from kadeploy.service.views.cast import CastView
from kadeploy.service.views.result import ResultView
from kadeploy.service.views.workflows import WorkflowsView, WorkflowView
from kadeploy.store.receptions import Reception
from kadeploy.store.workflow_outcome import WorkflowOutcome
from kadeploy.store.workflows import WorkflowSummary
from kadeploy.vocabulary.workflow import State, WorkflowKind
from kadeploy.workflow.phase import Phase
from tests.unit.cli.program import Completed
from tests.unit.operations.former_stores import COMMITS, FormerStore
from tests.unit.service.test_schemas import DOCUMENTS, assert_written_by

DEPLOYMENT = ["kadeploy", "-m", "red-[5-6]", "-e", "debian", "-u", "root"]

COMMANDS = [
    ("workflows", ["kadeploy", "--list"]),
    ("workflows", ["kanodes", "-a"]),
    ("nodes", ["kanodes"]),
    ("environments", ["kaenv", "-l", "-u", "root"]),
    ("environments", ["kaenv", "-p", "debian", "-u", "root"]),
    ("statistics-records", ["kastat"]),
    ("statistics-records", ["kastat", "-F", "success,hostname", "-F", "start,hostname"]),
    ("statistics-failure-rates", ["kastat", "-b"]),
    ("statistics-causes", ["kastat", "--causes"]),
    ("statistics-steps", ["kastat", "--steps"]),
    ("statistics-broadcasts", ["kastat", "--broadcasts"]),
    ("deployment-plan", [*DEPLOYMENT, "--dry-run"]),
    ("forecast", [*DEPLOYMENT, "--simulate"]),
    ("plan", ["kareboot", "-m", "red-7", "-r", "recorded_env", "-e", "debian", "-u", "root", "--dry-run"]),
]


@pytest.fixture(scope="module")
def former(tmp_path_factory: pytest.TempPathFactory) -> FormerStore:
    return FormerStore(COMMITS[-1], tmp_path_factory.mktemp("former"))


@pytest.mark.parametrize(
    ("kind", "line"), COMMANDS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_commands_print_documents(former: FormerStore, kind: str, line: list[str]) -> None:
    done: Completed = former.command(*line, "--json")
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    if isinstance(value, dict):
        assert value["kind"] == kind
        assert [*value][:2] == ["kind", "schema"]
    assert_written_by(DOCUMENTS[kind], value)


def test_chosen_fields_stand_in_their_order(former: FormerStore) -> None:
    rows = json.loads(former.command("kastat", "-F", "success,hostname,start", "--json").stdout)
    assert {tuple(row) for row in rows} == {("success", "hostname", "start")}


def test_what_is_not_known_of_a_node_is_absent() -> None:
    reception = Reception(1.0, "node-1", 0, 1, 10, 3.0, ok=True)
    nodes = (NodeResult("node-1", Phase.OK, power="on", reception=reception), NodeResult("node-2", Phase.OK))
    document = json.loads(ResultView.of(OperationResult("D-1", 1.23456, 2, nodes)).to_json_text())
    assert_written_by(ResultView, document)
    first, second = document["nodes"]
    assert {*first} - {*second} == {"power", "broadcast"}
    assert (document["seconds"], first["broadcast"]["rate"]) == (1.235, 3)


def test_a_workflow_that_has_ended() -> None:
    outcome = WorkflowOutcome(ok=2, ko=1, held=0, aborted=0, environment="debian:3")
    workflow = WorkflowSummary("D-1", WorkflowKind.DEPLOY, "alice", State.DONE, 0.0, 90.0, outcome=outcome)
    document = WorkflowsView.of([Overview(workflow, False, ())]).to_json()
    assert_written_by(WorkflowsView, document)
    [told] = document["workflows"]
    assert (told["kind"], told["state"], told["finished"]) == ("deploy", "done", "1970-01-01T00:01:30+00:00")
    assert (told["seconds"], told["environment"]) == (90.0, "debian:3")
    assert told["counts"] == {"ok": 2, "ko": 1, "held": 0, "aborted": 0}


def test_of_a_workflow_that_was_refused_little_is_known() -> None:
    workflow = WorkflowSummary(
        "R-1", WorkflowKind.REBOOT, "bob", State.REFUSED, 0.0, 1.0, outcome=WorkflowOutcome(message="no")
    )
    told = WorkflowView.of(Overview(workflow, False, ()))
    assert (told.state, told.message, told.environment) == ("refused", "no", "")
    assert {*told.counts.to_json().values()} == {None}


def test_a_cast() -> None:
    request = CastRequest(ImageSource(Path("/data"), 10), ["a", "b"], [["cat"]])
    results = {"a": RelayResult(received=10), "b": RelayResult(trouble=Trouble.NODE, reason="gone")}
    document = json.loads(CastView.of(request, results, 2.0).to_json_text())
    assert_written_by(CastView, document)
    assert [(node["phase"], node["cause"]) for node in document["nodes"]] == [("ok", ""), ("ko", "node")]
