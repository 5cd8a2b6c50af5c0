# SPDX-License-Identifier: Apache-2.0
"""Power operations with commands of a site, which keep each node's power in a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kadeploy.config.site import Site
from kadeploy.errors import RefusedError
from kadeploy.operations.power.outcome import PowerOutcome
from kadeploy.operations.power.plan import plan_power
from kadeploy.operations.power.request import PowerKind, PowerRequest
from kadeploy.operations.result import OperationResult
from kadeploy.operations.run.feed import Feed
from kadeploy.operations.run.operation import Operation
from kadeploy.power.ways.command import CommandSetting
from kadeploy.steps import power
from kadeploy.store import leases, node_states, statistics, workflows
from kadeploy.store.filter import Filter
from kadeploy.store.store import Store
from kadeploy.vocabulary.names import INSTANCES
from tests.unit.operations.conftest import run


@pytest.fixture
def powered(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The site, whose red nodes can be switched, and obey but for red-3."""
    monkeypatch.setattr(power, "STATUS_INTERVAL", 0.1)
    for number in (1, 2, 3):
        (tmp_path / f"red-{number}").write_text("on\n")
    script = tmp_path / "switch"
    script.write_text(f'#!/bin/sh\n[ "$2" = red-3 ] || echo $1 > {tmp_path}/$2\n')
    script.chmod(0o755)
    operations = site.clusters["red"].remoteops.model_copy(
        update={
            "power_on": (CommandSetting(cmd=f"{script} on HOSTNAME_FQDN"),),
            "power_off": (
                CommandSetting(cmd="false"),
                CommandSetting(name="hard", cmd=f"{script} off HOSTNAME_FQDN"),
            ),
            "power_status": (CommandSetting(cmd=f"cat {tmp_path}/HOSTNAME_FQDN"),),
        }
    )
    red = site.clusters["red"].model_copy(update={"remoteops": operations})
    return replace(site, clusters={**site.clusters, "red": red})


async def carry_out(site: Site, store: Store, kind: PowerKind, *nodes: str, **more: Any) -> OperationResult:
    plan = await plan_power(site, PowerRequest(user="alice", nodes=nodes, kind=kind, **more))
    return await run(Operation(plan, PowerOutcome(plan), store, Feed()))


async def test_nodes_are_switched_and_looked_at(powered: Site, store: Store) -> None:
    result = await carry_out(powered, store, PowerKind.OFF, "red-1", "red-2")
    assert [(node.phase, node.power) for node in result.nodes] == [("ok", "off")] * 2
    states = await node_states.read(store, ["red-1"])
    assert (states["red-1"].state, states["red-1"].workflow_id) == ("powered", result.wid)
    [row, _] = await statistics.list_records(store, Filter())
    assert row.wid.startswith("P-") and row.step1 == "PowerOff"
    assert await leases.held(store, ["red-1"]) == {}
    result = await carry_out(powered, store, PowerKind.STATUS, "red-1", "red-3")
    assert [node.power for node in result.nodes] == ["off", "on"]


async def test_a_node_that_does_not_obey_is_not_good(
    powered: Site, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = INSTANCES["PowerOff"]
    steps = (replace(entry.micro_steps[0], timeout=0.5),)
    monkeypatch.setitem(INSTANCES, "PowerOff", replace(entry, micro_steps=steps))
    [node] = (await carry_out(powered, store, PowerKind.OFF, "red-3")).nodes
    assert (node.phase, node.place, node.reason, node.cause) == (
        "ko",
        "PowerOff-power_off",
        "Timeout in the power_off step after 0.5 s, its power status is on",
        "power",
    )
    assert (await node_states.read(store, ["red-3"]))["red-3"].state == "power_failed"


async def test_a_status_takes_no_node_and_leaves_no_trace(powered: Site, store: Store) -> None:
    await leases.acquire(store, ["red-1"], "D-other", "bob")
    [node] = (await carry_out(powered, store, PowerKind.STATUS, "red-1")).nodes
    assert (node.phase, node.power) == ("ok", "on")
    assert await leases.held(store, ["red-1"]) == {"red-1": "D-other"}
    assert await node_states.read(store, ["red-1"]) == {}
    assert list(await statistics.list_records(store, Filter())) == []
    with pytest.raises(RefusedError, match="in use"):
        await carry_out(powered, store, PowerKind.OFF, "red-1")
    assert {str(workflow.state) for workflow in await workflows.list_states(store)} == {"done", "planning"}


async def test_what_a_cluster_does_not_say_how_to_do(powered: Site, store: Store) -> None:
    with pytest.raises(RefusedError, match="no power_on is configured for cluster blue"):
        await carry_out(powered, store, PowerKind.ON, "red-1", "blue-1")
