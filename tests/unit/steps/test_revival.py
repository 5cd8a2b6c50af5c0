# SPDX-License-Identifier: Apache-2.0
"""A miniOS whose ssh server has died after the broadcast: the next attempt boots it once more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from kadeploy.config.expression import Expression
from kadeploy.errors import UnreachableError
from kadeploy.steps import broadcast_env, revival
from kadeploy.steps.broadcast_env import send_environment
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.workbench import DeploymentWorkbench
from kadeploy.vocabulary.cause import Cause
from tests.unit.given_broadcast import GivenBroadcast
from tests.unit.steps.case import facts_of
from tests.unit.steps.orders import NUMBER
from tests.unit.steps.recorded import Recording
from tests.unit.steps.stage import workbench_of
from tests.unit.steps.test_send_environment import RecordedBroadcast, Told


class DeadServer:
    """Server of a node that dies with the image on the disk, and lives again once the node was booted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.lives = self.boots = False
        for name in ("switch_pxe_minios", "reboot_soft", "wait_reboot_minios"):
            monkeypatch.setattr(revival, name, self._step(name))
        monkeypatch.setattr(broadcast_env, "renew_deploy_part", self._renew)

    def _step(self, name: str) -> object:
        async def step(_: DeploymentWorkbench, run: NodeRun) -> None:
            self.done.append(name)
            if name == "wait_reboot_minios":
                if not self.boots:
                    run.observed, run.cause = "it has not come back", Cause.REBOOT
                    await asyncio.Event().wait()
                self.lives = True

        return step

    async def _renew(self, _: DeploymentWorkbench, run: NodeRun) -> None:
        self.done.append("renew")
        if not self.lives:
            raise UnreachableError(f"{run.node.name} does not answer ssh")

    @asynccontextmanager
    async def slot(self, node: str) -> AsyncIterator[None]:
        self.done.append(f"slot of {node}")
        yield


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> DeadServer:
    return DeadServer(monkeypatch)


async def send(
    server: DeadServer, tmp_path: Path, attempt: int, given: Mapping[str, Any] | None = None, **known: Any
) -> list[Any]:
    """The ends of node-1 in an attempt."""
    recording, told = Recording({"node-1": [{"keep": {"written": True}}]}), Told()
    known_facts = {"known": {"node-1": {"written": True, **known}}, "received": told.keep}
    facts = facts_of("bios", given or {}) | known_facts
    bench = workbench_of(facts, "BroadcastEnvChain", tmp_path, recording)
    bench.facts.cluster.timeouts.__dict__["reboot"] = Expression("0.3")
    object.__setattr__(bench, "reboot", server.slot)
    runs = [NodeRun(node, attempt) for node in bench.facts.nodes.values()]
    recorded = RecordedBroadcast({"results": {"node-1": {"received": 1000}}})
    await send_environment(cast("DeploymentWorkbench", bench), runs, told.ended, GivenBroadcast(recorded))
    return told.ends


async def test_the_first_attempt_fails(server: DeadServer, tmp_path: Path) -> None:
    [[node, failure]] = await send(server, tmp_path, 0)
    assert (node, failure) == ("node-1", {"says": "node-1 does not answer ssh", "cause": "connection"})
    assert server.done == ["renew"]


async def test_the_next_one_boots_the_node_once_more(server: DeadServer, tmp_path: Path) -> None:
    server.boots = True
    assert await send(server, tmp_path, 1) == [["node-1", None]]
    assert server.done == [
        *("renew", "slot of node-1", "switch_pxe_minios", "reboot_soft", "wait_reboot_minios", "renew")
    ]


async def test_a_node_that_has_restarted_by_itself_is_booted_once_more(
    server: DeadServer, tmp_path: Path
) -> None:
    """Its profile was fetched twice: by its boot, and by the restart."""
    server.boots = server.lives = True
    fetches = [{"client": "127.0.0.1", "protocol": "http"}] * 2
    doubtful = {"orders": {"node-1": {"fetches": fetches, "state": "proven"}}}
    [[node, failure]] = await send(server, tmp_path, 0, doubtful, order=NUMBER)
    assert (node, failure["cause"], server.done) == ("node-1", "verification", [])
    [[node, failure]] = await send(server, tmp_path, 1, doubtful, order=NUMBER)
    assert server.done[:4] == ["slot of node-1", "switch_pxe_minios", "reboot_soft", "wait_reboot_minios"]
    assert failure["cause"] == "verification", "where it goes on to restart"


async def test_a_boot_that_does_not_help_leaves_the_first_cause(server: DeadServer, tmp_path: Path) -> None:
    [[_, failure]] = await send(server, tmp_path, 1)
    assert failure == {
        "says": "the miniOS did not answer any more, nor 0.3 s after another boot: it has not come back",
        "cause": "connection",
    }
