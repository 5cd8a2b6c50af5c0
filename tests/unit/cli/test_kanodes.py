# SPDX-License-Identifier: Apache-2.0
"""kanodes as users run it."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path

import pytest

from kadeploy.cli.columns import aligned, short_time
from kadeploy.cli.node_table import state_lines
from kadeploy.cli.operation_table import operation_lines
from kadeploy.service.views.nodes import NodeView
from kadeploy.store import leases, minios_boots, node_states, workflows
from kadeploy.store.node_states import NodeState
from kadeploy.store.store import Store
from kadeploy.vocabulary.workflow import State, WorkflowKind
from tests.unit.cli.conftest import Command

HOUR = 3600.0


@pytest.fixture
async def wids(configuration: Path) -> tuple[str, str]:
    """A held deployment of node-1 and node-2, and a reboot of node-3 whose end nobody has recorded."""
    async with Store.open(configuration / "store" / "kadeploy.sqlite") as store:
        deployment = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {})
        names = ["node-1", "node-2"]
        await leases.acquire(store, names, deployment.id, "alice")
        environment = ("debian", 3, "root")
        await node_states.record(
            store, names, NodeState.HELD, user="alice", workflow_id=deployment.id, environment=environment
        )
        for name in names:
            await minios_boots.remember(store, name, "ssh-ed25519 AAAA", "this boot")
        await leases.keep(store, deployment.id, names, HOUR)
        await workflows.change_state(store, deployment.id, State.HELD)
        reboot = await workflows.create(store, WorkflowKind.REBOOT, "bob", {})
        await node_states.change(store, ["node-3"], NodeState.REBOOTING, user="bob", workflow_id=reboot.id)
    return deployment.id, reboot.id


def test_nodes_of_which_the_same_is_known_share_a_line(command: Command, wids: tuple[str, str]) -> None:
    done = command("kanodes")
    assert (done.returncode, done.stderr) == (0, "")
    title, *lines = done.stdout.splitlines()
    assert title.split("  ")[0] == "State" and title.endswith("Nodes")
    held, interrupted, unknown = ([cell.strip() for cell in line.split("  ") if cell] for line in lines)
    assert (held[:3], held[-2:]) == (["held", "alice", "debian:3"], ["this boot", "node-[1-2]"])
    assert (interrupted[0], interrupted[-1]) == ("rebooting (interrupted)", "node-3")
    assert unknown == ["-", "-", "-", "-", "-", "-", "node-4"]


def test_some_nodes(command: Command, wids: tuple[str, str], tmp_path: Path) -> None:
    def listed(*arguments: str, text: str | None = None) -> list[str]:
        done = command("kanodes", *arguments, "--json", text=text)
        assert done.returncode == 0, done.stderr
        return [node["node"] for node in json.loads(done.stdout)["nodes"]]

    assert listed("-m", "node-[2-3]") == ["node-2", "node-3"]
    assert listed("-s", "-f", "-", text="node-4\nnode-2\n") == ["node-2", "node-4"]
    assert listed() == ["node-1", "node-2", "node-3", "node-4"]
    done = command("kanodes", "-m", "node-[4-5]")
    assert (done.returncode, done.stdout) == (3, "")
    assert "unknown node: node-5" in done.stderr


def test_what_is_known_of_a_node(command: Command, wids: tuple[str, str]) -> None:
    [node] = json.loads(command("kanodes", "-m", "node-1", "--json").stdout)["nodes"]
    until, proven = (datetime.fromisoformat(node[key]).timestamp() for key in ("leased_until", "proven"))
    assert abs(until - time.time() - HOUR) < 60 and abs(proven - time.time()) < 60
    assert (node["leased_by"], node["proof"], node["user"]) == (wids[0], "this boot", "alice")
    [node] = json.loads(command("kanodes", "-m", "node-4", "--json").stdout)["nodes"]
    assert (node["leased_until"], node["proof"], node["proven"]) == (None, "", None)


def test_a_held_node_is_free_when_its_time_is_over() -> None:
    held = _node("node-1", state="held", leased_by="D-1")
    over = _node("node-2", state="held")
    assert [line.split()[-1] for line in state_lines([held, over])] == ["Nodes", "node-1", "node-2"]
    assert [node.interrupted for node in (held, over, _node("node-3", state="deployed"))] == [
        False,
        True,
        False,
    ]


def test_operations_by_kind(command: Command, wids: tuple[str, str]) -> None:
    deployment, reboot = wids

    def listed(*arguments: str) -> list[str]:
        done = command("kanodes", *arguments, "--json")
        assert done.returncode == 0, done.stderr
        return [workflow["wid"] for workflow in json.loads(done.stdout)["workflows"]]

    assert listed("-a") == [reboot, deployment]
    assert listed("-d") == [deployment] and listed("-r") == [reboot] and listed("-p") == []
    assert listed("-d", "-r") == [reboot, deployment]
    assert listed("-w", deployment[:10]) == listed("-d", "-w", deployment) == [deployment]
    done = command("kanodes", "-r", "-w", deployment)
    assert (done.returncode, done.stdout) == (3, "")
    assert f"{deployment} is a deploy operation" in done.stderr


def test_operations_as_text(command: Command, wids: tuple[str, str]) -> None:
    lines = command("kanodes", "-d").stdout.splitlines()
    assert lines[0].split() == ["Operation", "Kind", "User", "Started", "State"]
    assert lines[1].startswith(wids[0][:8]) and lines[1].endswith("held")
    assert lines[2:] == ["    held  node-[1-2]"]
    done = command("kanodes", "-p")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no such operation runs\n")
    assert [*operation_lines([])] == []


@pytest.mark.parametrize("line", ["-s -d", "-a -m node-1", "-w last -f nodes"])
def test_options_that_do_not_go_together(command: Command, line: str) -> None:
    done = command("kanodes", *line.split())
    assert (done.returncode, done.stdout) == (2, "")


def test_five_hundred_nodes_are_few_lines() -> None:
    users = ("alice", "bob", "carol")
    nodes = [
        _node(
            f"grisou-{number}.nancy.grid5000.fr",
            state="deployed",
            user=users[number % 3],
            environment="debian12-min:2026",
            since=f"2026-01-31T10:{number % 60:02}:00+00:00",
            proof="this boot",
        )
        for number in range(1, 501)
    ]
    lines = [*state_lines(nodes)]
    assert len(lines) == 1 + len(users)
    assert max(line.index("grisou") for line in lines[1:]) < 80
    plain = [
        node.model_copy(update={"node": f"node-{n}", "user": "alice"}) for n, node in enumerate(nodes, 1)
    ]
    assert max(map(len, state_lines(plain))) <= 80


def test_since_is_when_all_nodes_of_a_line_are_so() -> None:
    early, late = "2024-01-31T10:00:00+00:00", "2024-02-01T10:00:00+00:00"
    _, line = state_lines(
        [_node("a-1", state="deployed", since=late), _node("a-2", state="deployed", since=early)]
    )
    assert "2024-02-01" in line


def test_times_are_short() -> None:
    now = datetime.fromisoformat("2026-03-02T12:00:00+00:00")
    assert short_time("2026-03-02T09:30:00+00:00", now) == "09:30"
    assert short_time("2026-03-01T23:30:00+00:00", now) == "03-01 23:30"
    assert short_time("2025-12-31T23:30:00+00:00", now) == "2025-12-31"


def test_columns_without_values_are_left_out() -> None:
    assert [*aligned(("A", "B", "C"), [("x", "-", "1"), ("yy", "-", "-")])] == ["A   C", "x   1", "yy  -"]
    assert [*aligned(("A", "B"), [])] == []


def _node(name: str, **known: str) -> NodeView:
    nothing = {"state": "", "user": "", "wid": "", "environment": "", "device": "", "since": None}
    lease = {"leased_by": "", "leased_until": None, "proof": "", "proven": None}
    return NodeView.model_validate({"node": name, "cluster": "c", "address": "", **nothing, **lease, **known})
