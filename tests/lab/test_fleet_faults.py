# SPDX-License-Identifier: Apache-2.0
"""One deployment of a fleet of which half is broken in every way: each node is told the truth of, in time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kadeploy.lab.faults.kinds import FAULTS
from kadeploy.vocabulary.cause import Cause

from .laboratory import Laboratory, Outcome
from .test_fleet import assert_gone

pytestmark = [pytest.mark.fleet, pytest.mark.deploys("fleet-min"), pytest.mark.timeout(300)]

COUNT = 30
NODES = {f"node-{number}" for number in range(1, COUNT + 1)}
REBOOT_SECONDS = 30
STEPS = (
    "SetDeploymentEnv|SetDeploymentEnvUntrusted:0:120&BroadcastEnv|BroadcastEnvChain:1:120&"
    "BootNewEnv|BootNewEnvClassical:0:120"
)
# All nodes are off before: a BMC that lies leaves its node so.
LOTS = {
    "no-power": Cause.POWER,
    "bmc-lies": Cause.FIRMWARE,
    "no-boot": Cause.FIRMWARE,
    "wrong-boot": Cause.FIRMWARE,
    "link-down": Cause.FIRMWARE,
    "firmware-hang": Cause.FIRMWARE,
    "firmware-hang=1": Cause.FIRMWARE,
    "lost-requests=20": Cause.NETWORK_BOOT,
    "minios-hang": Cause.MINIOS,
    "mute-sshd": Cause.MINIOS,
    "disk-read-only": Cause.DISK,
    "disk-full=4MiB": Cause.DISK,
    "cut-link=3600@2MiB": Cause.CONNECTION,
    "cut-link=1@2MiB": "ok",
    "late-boot=5": "ok",
    "slow-boot": "ok",
    "slow-link=100mbit": "ok",
    "lost-requests=3": "ok",
    f"duplicate-name=node-{COUNT}": "ok",
}
PLAN = [
    {"nodes": f"node-{number}", "fault": fault, "expect": str(expect)}
    for number, (fault, expect) in enumerate(LOTS.items(), 1)
]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A lab of container nodes, the firmware of which takes a second."""
    laboratory = Laboratory(f"t-{os.getpid()}-faults", tmp_path_factory.mktemp("faults"))
    try:
        options = ("--boot-delay", "1", "--boot-spread", "0.5", "--disk", "1GiB")
        laboratory.up(COUNT, "--driver", "container", *options)
        configure(Path(f"/var/lib/kalab/{laboratory.name}/config/lab.conf"))
        yield laboratory
    finally:
        laboratory.down()
    assert_gone(laboratory)


def configure(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    content["timeouts"]["reboot"] = REBOOT_SECONDS
    del content["gather"], content["broadcast"]  # allowances for emulated machines
    path.write_text(yaml.safe_dump(content))


def break_nodes(fleet: Laboratory) -> dict[str, str]:
    """Apply the plan; how each of its nodes has to end."""
    plan = fleet.directory / "plan.yaml"
    plan.write_text(yaml.safe_dump({"faults": PLAN}))
    told = json.loads(fleet.kalab("fault", "--plan", str(plan), "--json"))
    shown = {node["name"]: node["faults"] for node in json.loads(fleet.kalab("status", "--json"))}
    assert {entry["node"]: [entry["fault"]] for entry in told} == {k: v for k, v in shown.items() if v}
    return {entry["node"]: entry["expect"] for entry in told}


def test_every_fault_is_dealt() -> None:
    assert {fault.partition("=")[0] for fault in LOTS} == set(FAULTS)


def test_each_node_ends_as_its_fault_demands(fleet: Laboratory) -> None:
    expected = break_nodes(fleet)
    outcome = fleet.deploy(f"node-[1-{COUNT}]", "-e", "fleet-min", "--force-steps", STEPS).outcome(240)
    assert_ends(outcome, {node: cause for node, cause in expected.items() if cause != "ok"})
    run = fleet.runs[-1]
    for node in (node for node, cause in expected.items() if cause == "ok"):
        # Asked for longer than once: on a busy host a node's address may not be told in time (ARP).
        facts = fleet.wait_for_boot(run, node, "", 30)
        assert (facts.name, facts.root) == (node, "/dev/vda4")


def assert_ends(outcome: Outcome, failures: dict[str, str]) -> None:
    assert outcome.status == 1, str(outcome)
    assert outcome.causes == failures, str(outcome)
    assert set(outcome.ko) == set(failures) and set(outcome.ok) == NODES - set(failures), str(outcome)


def test_mended_nodes_can_be_deployed(fleet: Laboratory) -> None:
    mended = fleet.kalab("fault", "--mend").splitlines()
    assert len(mended) == len(LOTS) - 1, "the short cut of a link is over by itself"
    broken = f"node-[1-{len(LOTS)}]"
    outcome = fleet.deploy(broken, "-e", "fleet-min", "--force-steps", STEPS).outcome(120)
    assert (outcome.status, outcome.ko) == (0, []), str(outcome)
