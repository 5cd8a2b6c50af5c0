# SPDX-License-Identifier: Apache-2.0
"""send_environment around a broadcast that is recorded: what it delivers, and what becomes of each node."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from kadeploy.broadcast.interface import (
    BroadcastProgress,
    Delivery,
    Early,
    Progress,
    RelayResult,
    RelayTransport,
    Trouble,
    ignore,
)
from kadeploy.broadcast.method import BROADCAST_METHODS
from kadeploy.config.cluster import BroadcastSettings
from kadeploy.errors import NodeError
from kadeploy.steps.broadcast_env import send_environment
from kadeploy.steps.caused_error import cause_of
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.workbench import DeploymentWorkbench
from kadeploy.store.receptions import Reception
from kadeploy.vocabulary.cause import Cause
from tests.unit.given_broadcast import GivenBroadcast
from tests.unit.steps.case import entries, facts_of, filled
from tests.unit.steps.recorded import Recording
from tests.unit.steps.stage import workbench_of


@dataclass
class RecordedBroadcast:
    """A broadcast that tells the news of a case, and ends as that says; without results it does not end."""

    case: Mapping[str, Any]
    deliveries: list[Delivery] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(
        self, delivery: Delivery, _: RelayTransport, progress: Progress, early: Early = ignore
    ) -> Mapping[str, RelayResult]:
        self.deliveries.append(delivery)
        for news in self.case.get("news", []):
            progress(BroadcastProgress(**news))
        await early(results(self.case.get("early", {})))
        self.begun.set()
        if "results" not in self.case:
            await asyncio.Event().wait()
        return results(self.case["results"])


def results(described: Mapping[str, Mapping[str, Any]]) -> dict[str, RelayResult]:
    return {
        node: RelayResult(
            **{**about, "trouble": Trouble(about.get("trouble", "")), "notes": tuple(about.get("notes", []))},
            seconds=1.0,
        )
        for node, about in described.items()
    }


@dataclass
class Told:
    """What send_environment tells of the nodes."""

    ends: list[list[Any]] = field(default_factory=list)
    transfers: list[list[Any]] = field(default_factory=list)
    kept: dict[str, Any] = field(default_factory=dict)

    def ended(self, node: str, error: NodeError | None) -> None:
        self.ends.append([node, failure(error) if error else None])

    def transferred(self, transfer: BroadcastProgress) -> None:
        self.transfers.append(list(asdict(transfer).values()))

    async def keep(self, rows: Sequence[Reception]) -> None:
        for row in rows:
            found = asdict(row) | {"notes": list(row.notes)}
            shown = ("lane", "position", "bytes", "ok", "moved", "notes")
            assert row.node not in self.kept and row.started > 0 and row.seconds > 0
            wanted = ("bytes", "ok")
            self.kept[row.node] = {name: found[name] for name in shown if found[name] or name in wanted}


def failure(error: NodeError) -> dict[str, Any]:
    shown = {
        "says": error.message,
        "cause": str(cause_of(error, Cause.BROADCAST)),
        "evidence": error.evidence,
    }
    return {name: text for name, text in shown.items() if text}


def delivered(delivery: Delivery, options: Sequence[str]) -> dict[str, Any]:
    """A delivery as a case writes it."""
    image = asdict(delivery.image) | {"path": str(delivery.image.path)}
    assert image.pop("opened") == delivery.image.path
    return {
        "image": image,
        "targets": [[recipient.node, recipient.address] for recipient in delivery.recipients],
        "consumer": [["…" if "\n" in word else word for word in stage] for stage in delivery.consumer],
        "head_address": delivery.head_address,
        "options": {name: getattr(delivery.options, name) for name in options},
    }


@pytest.mark.parametrize("case", entries("send_environment.yaml"))
async def test_send_environment(case: dict[str, Any], tmp_path: Path) -> None:
    case = filled(case, {"directory": str(tmp_path)})
    recording, told, recorded = Recording(case["does"]), Told(), RecordedBroadcast(case)
    facts = facts_of(case.get("site", "bios"), case.get("given", {}))
    facts |= {
        "nodes": case["nodes"],
        "known": case.get("node", {}),
        "progress": told.transferred,
        "received": told.keep,
    }
    deployment = cast("DeploymentWorkbench", workbench_of(facts, "BroadcastEnvChain", tmp_path, recording))
    runs = [NodeRun(node, 0) for node in deployment.facts.nodes.values()]

    sending = asyncio.create_task(send_environment(deployment, runs, told.ended, GivenBroadcast(recorded)))
    if "results" not in case and not case.get("unneeded"):
        await recorded.begun.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert {run.node.name: run.observed for run in runs} == case["observed"]
    await asyncio.wait([sending])
    assert sending.cancelled() or sending.exception() is None
    assert recording.left == []
    assert told.ends == case["ends"]
    assert told.transfers == case.get("transfers", [])
    assert told.kept == case.get("kept", {})
    assert len(recorded.deliveries) == (0 if case.get("unneeded") else 1)
    if "delivery" in case:
        assert delivered(recorded.deliveries[0], ["arity", "silence", "window"]) == case["delivery"]


async def test_statistics_that_cannot_be_kept_do_not_hide_how_a_node_ended(tmp_path: Path) -> None:
    """Not even where that breaks the broadcast off."""

    async def full(_: Sequence[Reception]) -> None:
        raise OSError("disk full")

    recording, told = Recording({"node-1": [{"keep": {"written": True}}]}), Told()
    deployment = cast(
        "DeploymentWorkbench",
        workbench_of(facts_of("bios", {}) | {"received": full}, "BroadcastEnvChain", tmp_path, recording),
    )
    recorded = RecordedBroadcast({"results": {"node-1": {"received": 1000}}})
    runs = [NodeRun(node, 0) for node in deployment.facts.nodes.values()]
    with pytest.raises(OSError, match="disk full"):
        await send_environment(deployment, runs, told.ended, GivenBroadcast(recorded))
    assert told.ends == [["node-1", None]]


def test_the_tree_differs_from_the_chain_by_its_arity() -> None:
    settings = BroadcastSettings(arity=5, window=1)
    chain, tree, pull = (BROADCAST_METHODS[name].options(settings) for name in ("Chain", "Tree", "HttpPull"))
    assert (chain.arity, tree.arity) == (1, 5)
    assert tree == replace(chain, arity=5) and chain.window == 1 << 20
    assert pull == chain
