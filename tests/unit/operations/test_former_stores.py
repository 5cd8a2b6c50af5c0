# SPDX-License-Identifier: Apache-2.0
"""Stores that earlier versions have written: they open, are told of, and their workflows go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kadeploy.errors import RefusedError
from kadeploy.operations.run.journal import OLD_TOKEN
from kadeploy.store.workflow_outcome import WorkflowOutcome
from tests.unit.operations.conftest import RESUMED, RETRIED, Script
from tests.unit.operations.former_stores import COMMITS, FormerStore

Command = Callable[..., str]

AT_A_BREAKPOINT = ("red-1", "red-2", "blue-1")
PARTLY_HELD = ("red-3", "red-4", "blue-3")
IN_BITS = ("green-1", "green-2", "green-3")  # interrupted, resumed, abandoned, retried
KILLED = ("red-5", "red-6", "blue-4", "blue-5")


@pytest.fixture(params=COMMITS)
def former(request: pytest.FixtureRequest, tmp_path: Path) -> FormerStore:
    return FormerStore(request.param, tmp_path)


@pytest.fixture
def command(former: FormerStore) -> Command:
    """``command("kaenv", "-l")`` is what that prints, after it has succeeded."""

    def call(name: str, *arguments: str) -> str:
        done = former.command(name, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return call


def listed(command: Command) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(command("kadeploy", "--list", "--json"))["workflows"]
    return found


def test_stores_are_kept() -> None:
    assert len(COMMITS) >= 4


def test_unfinished_workflows_are_listed(command: Command) -> None:
    unfinished = [one for one in listed(command) if one["finished"] is None]
    assert [(one["state"], one["user"], one["nodes"]) for one in unfinished] == [
        ("interrupted", "alice", dict.fromkeys(KILLED, "deploying")),
        ("held", "alice", dict.fromkeys(IN_BITS, "held")),
        ("held", "alice", {"red-3": "deployed", "red-4": "held", "blue-3": "deployed"}),
        ("held", "alice", dict.fromkeys(AT_A_BREAKPOINT, "held")),
    ]
    assert "interrupted: deploying blue-[4-5],red-[5-6]\n" in command("kadeploy", "--list")


def test_nobody_has_a_right_yet(former: FormerStore) -> None:
    """And nobody needs one: the site's file of then does not limit its nodes, so that its workflows go on."""
    done = former.command("karights", "-l")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "No right has been found\n")


def test_the_history_has_what_is_known(former: FormerStore) -> None:
    """Before b03c619 outcomes of an interrupted deployment and of a query of power were not recorded."""
    recorded = former.commit in ("b03c619", "08b5531", "b30c403")
    shown = [
        (one.state, one.workflow.kind, counts(one.outcome), one.environment, one.duration is not None)
        for one in former.overviews()
    ]
    unknown = (None, None, None, None)
    assert shown == [
        ("interrupted", "deploy", unknown, "debian:3" if recorded else "", False),
        ("held", "deploy", (0, 0, 3, 0), "debian:3", False),
        ("held", "deploy", (2, 0, 1, 0), "debian:3", False),
        ("held", "deploy", (0, 0, 3, 0), "debian:3", False),
        ("done", "power", (1, 0, 0, 0), "", True),
        ("done", "power", (1, 0, 0, 0) if recorded else unknown, "", True),
        ("done", "reboot", (1, 0, 0, 0), "", True),
        ("done", "deploy", (2, 1, 0, 0), "debian:3", True),
    ]


def counts(outcome: WorkflowOutcome) -> tuple[int | None, ...]:
    return (outcome.ok, outcome.ko, outcome.held, outcome.aborted)


def test_statistics_outlive_workflows(former: FormerStore, command: Command) -> None:
    told = [command("kastat", *option) for option in ((), ("--steps",), ("--broadcasts",))]
    assert former.prune(1) == 4
    assert [one.state for one in former.overviews()] == ["interrupted", "held", "held", "held"]
    assert [command("kastat", *option) for option in ((), ("--steps",), ("--broadcasts",))] == told


def test_statistics_are_told(command: Command) -> None:
    assert len(command("kastat").splitlines()) == 14
    failed = json.loads(command("kastat", "--json", "-m", "red-8"))
    assert [(one["step1"], one["error"], one["cause"]) for one in failed] == [
        (
            "SetDeploymentEnvUntrusted",
            "SetDeploymentEnvUntrusted-create_partition_table: it broke",
            "environment",
        )
    ]
    steps = json.loads(command("kastat", "--steps", "--json"))
    assert {(one["micro"], one["count"]) for one in steps if one["instance"] == "BroadcastEnvTree"} >= {
        ("send_environment", 2),
        ("manage_admin_post_install", 1),
    }
    assert len(json.loads(command("kastat", "--broadcasts", "--json"))) == 11
    assert json.loads(command("kastat", "--causes", "--json")) == [
        {"cause": "environment", "count": 2, "nodes": "red-[4,8]"}
    ]


def test_environments_are_told(former: FormerStore, command: Command) -> None:
    assert "debian" in command("kaenv", "-l")
    [told] = json.loads(command("kaenv", "-p", "debian", "-u", "root", "--json"))
    assert told["version"] == 3
    assert told["image"]["file"] == f"{former.site}/image.tar.gz"
    assert told["custom_variables"] == {"RELEASE": "bookworm"}


def test_a_recorded_system_can_be_rebooted(command: Command) -> None:
    wanted = ("-r", "recorded_env", "-e", "debian", "-u", "root")
    assert "wait_reboot" in command("kareboot", "-m", "red-7", *wanted, "--dry-run")


@pytest.mark.parametrize("nodes", [AT_A_BREAKPOINT, PARTLY_HELD, IN_BITS, KILLED])
def test_workflows_go_on(
    former: FormerStore, command: Command, script: type[Script], nodes: tuple[str, ...]
) -> None:
    wid = former.workflow_of(nodes[-1])
    assert former.resume(wid, RESUMED, script) == dict.fromkeys(nodes, "ok")
    [ended] = [one for one in listed(command) if one["wid"] == wid]
    assert (ended["state"], ended["nodes"]) == ("done", dict.fromkeys(nodes, "deployed"))


def test_failed_nodes_are_retried(former: FormerStore, script: type[Script]) -> None:
    ends = former.resume(former.workflow_of("red-8"), RETRIED, script)
    assert ends == {"red-8": "ok", "blue-7": "ok", "red-7": "ok"}


def test_what_has_changed_is_named(former: FormerStore, script: type[Script]) -> None:
    (former.site / "tune.sh").write_text("exit 1\n")
    wid = former.workflow_of("red-1")
    with pytest.raises(
        RefusedError, match="the list of steps or a custom step of cluster red, blue"
    ) as refused:
        former.resume(wid, RESUMED, script)
    assert refused.value.message.endswith(f"have changed since {wid} was begun")
    assert refused.value.hint == "begin a new one"


def test_the_journal_is_written_as_it_was(former: FormerStore) -> None:
    transitions = {"Started", "Done", "GraceOver", "Aborted", "Resumed", "Abandoned"}
    assert {kind for (kind,) in former.rows("select distinct kind from journal")} == {
        "Automaton",
        "Facts",
        *transitions,
    }
    for number, (wid,) in enumerate(former.rows("select id from workflows")):
        copy = f"copy-{number}"
        former.change(
            "insert into workflows (id, kind, user, request, state, started) "
            "select ?, kind, user, request, state, started from workflows where id = ?",
            copy,
            wid,
        )
        for cluster in ("red", "blue", "green"):
            former.write_again(wid, cluster, copy)
        assert holds(entries(former, copy), entries(former, wid))


def test_requests_are_written_as_they_were(former: FormerStore) -> None:
    rows = former.rows("select id, request from workflows where kind = 'deploy'")
    assert len(rows) == 5
    for wid, request in rows:
        assert holds(former.request_again(wid), json.loads(request)["request"])


def holds(now: Any, before: Any) -> bool:
    """Whether all is there as it was: a version may add keys, and takes none away."""
    if isinstance(before, dict):
        return all(name in now and holds(now[name], value) for name, value in before.items())
    if isinstance(before, list):
        return len(now) == len(before) and all(map(holds, now, before))
    return bool(now == before)


def entries(former: FormerStore, wid: str) -> dict[str, list[Any]]:
    """The kinds of a journal's entries with their contents, of facts the last ones of each node."""
    found: dict[str, list[Any]] = {}
    facts: dict[str, Any] = {}
    query = "select kind, payload from journal where workflow_id = ? order by sequence"
    for kind, payload in former.rows(query, wid):
        content = json.loads(payload)
        if kind == "Facts":
            content["facts"].pop(OLD_TOKEN, None)  # of a boot profile in a file, of which nothing is left
            facts[content["node"]] = content
        else:
            found.setdefault(f"{kind} of {content['cluster']}", []).append(content)
    found["Facts"] = [facts[node] for node in sorted(facts)]
    return found
