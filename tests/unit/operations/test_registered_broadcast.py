# SPDX-License-Identifier: Apache-2.0
"""A broadcast method that a site has registered: from a cluster's file to the image on a node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import yaml

from kadeploy.broadcast.interface import (
    Broadcast,
    BroadcastOptions,
    Delivery,
    Early,
    Progress,
    RelayResult,
    RelayTransport,
    ignore,
)
from kadeploy.broadcast.method import BROADCAST_METHODS, BroadcastMethod, BroadcastSetup
from kadeploy.config.cluster import BroadcastSettings, ClusterConfig
from kadeploy.config.yaml_file import parse_text
from kadeploy.errors import FileError
from kadeploy.steps import broadcast_env
from kadeploy.steps.catalogue import bind
from kadeploy.steps.node_run import NodeRun
from kadeploy.store.store import Store
from kadeploy.vocabulary.names import INSTANCE_NAMES, INSTANCES
from tests.unit.operations.conftest import CLUSTER, MakePlan, workbench_of
from tests.unit.registering import register

INSTANCE = "BroadcastEnvMulticast"


@dataclass
class Multicast(BroadcastMethod):
    """Method of a site, and its broadcast: it keeps what it was given."""

    name = "Multicast"
    setups: list[BroadcastSetup] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)

    def missing(self, cluster: ClusterConfig) -> str:
        return "" if cluster.broadcast.window == 1 else "broadcast: {window: 1}"

    def options(self, settings: BroadcastSettings) -> BroadcastOptions:
        return replace(super().options(settings), chunk=1400)

    def make(self, setup: BroadcastSetup) -> Broadcast:
        self.setups.append(setup)
        return self

    async def run(
        self, delivery: Delivery, transport: RelayTransport, progress: Progress, early: Early = ignore
    ) -> Mapping[str, RelayResult]:
        self.deliveries.append(delivery)
        return dict.fromkeys(delivery.nodes, RelayResult(received=delivery.image.size))


@pytest.fixture(autouse=True)
def method(monkeypatch: pytest.MonkeyPatch) -> Multicast:
    """The registered method, whose instance is in the vocabulary."""
    chain = INSTANCES["BroadcastEnvChain"]
    monkeypatch.setitem(INSTANCES, INSTANCE, replace(chain, name=INSTANCE))
    plug_in = Multicast()
    register(monkeypatch, BROADCAST_METHODS, plug_in)
    return plug_in


def cluster(**changes: Any) -> ClusterConfig:
    automata = {"automata": {"macrosteps": {"BroadcastEnv": [{"type": "Multicast"}]}}}
    return parse_text(yaml.safe_dump(yaml.safe_load(CLUSTER) | automata | changes), "red.conf", ClusterConfig)


def test_the_file_of_a_cluster_is_checked_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("BroadcastEnvChain", INSTANCE)
    monkeypatch.setitem(INSTANCE_NAMES, "BroadcastEnv", names)
    with pytest.raises(FileError, match=r"BroadcastEnvMulticast needs 'broadcast: \{window: 1\}'"):
        cluster()
    assert cluster(broadcast={"window": 1}).automata.macrosteps.BroadcastEnv[0].type == "Multicast"


async def test_its_instance_sends_the_image(store: Store, make_plan: MakePlan, method: Multicast) -> None:
    bound = bind([broadcast_env.binding_of(method)], {INSTANCE: INSTANCES[INSTANCE]}, ())
    workbench = workbench_of(await make_plan(store, "red-1"), store)
    ended: dict[str, object] = {}
    runs = [NodeRun(workbench.facts.nodes["red-1"], attempt=0)]
    await bound[INSTANCE].sets["send_environment"](workbench, runs, ended.__setitem__)
    assert ended == {"red-1": None}
    (setup,), (delivery,) = method.setups, method.deliveries
    assert setup.cluster is workbench.facts.cluster and setup.host_keys == {"red-1": ""}
    assert delivery.nodes == ["red-1"] and delivery.options.chunk == 1400
