# SPDX-License-Identifier: Apache-2.0
"""Deployments by each way to broadcast, on container nodes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .laboratory import CHECKOUT, Laboratory

pytestmark = [pytest.mark.fleet, pytest.mark.deploys("fleet-min"), pytest.mark.timeout(400)]

COUNT = 4
HOSTS = f"node-[1-{COUNT}]"
TOOL = "wget of busybox"  # the shell of the miniOS has it
NODES = [f"node-{number}" for number in range(1, COUNT + 1)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    laboratory = Laboratory(f"t-{os.getpid()}-cast", tmp_path_factory.mktemp("cast"))
    try:
        laboratory.up(COUNT, "--driver", "container", "--boot-delay", "1", "--boot-spread", "0")
        add_command(laboratory)
        yield laboratory
    finally:
        laboratory.down()


def add_command(lab: Laboratory) -> None:
    """The command of the documentation becomes that of the cluster."""
    page = (CHECKOUT / "docs/administrators/broadcast.md").read_text()
    [script] = re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S)
    program = lab.directory / "one-by-one"
    program.write_text(script)
    program.chmod(0o755)
    words = "ENVFILE ADDRESSFILE HOSTKEYFILE SSH_KEY DECOMPRESS"
    [cluster] = Path(f"/var/lib/kalab/{lab.name}/config").glob("lab*.conf")
    cluster.write_text(f"{cluster.read_text()}\nlocalops: {{broadcastenv: {{cmd: '{program} {words}'}}}}\n")


def automaton(instance: str) -> list[str]:
    text = (
        f"SetDeploymentEnv|SetDeploymentEnvUntrusted:0:200&BroadcastEnv|{instance}:0:200"
        "&BootNewEnv|BootNewEnvKexec:0:100"
    )
    return ["--force-steps", text]


@pytest.mark.parametrize("kind", ["Tree", "HttpPull", "Custom"])
def test_a_deployment(fleet: Laboratory, kind: str) -> None:
    run = fleet.deploy(HOSTS, "-e", "fleet-min", *automaton(f"BroadcastEnv{kind}"))
    outcome = run.outcome(200)
    assert (outcome.status, sorted(outcome.ok)) == (0, NODES), str(outcome)
    assert f"Performing a Deploy[BroadcastEnv{kind}] step on " in outcome.log
    assert (f"   * fetched by {TOOL}: " in outcome.log) == (kind == "HttpPull"), outcome.log
    fleet.assert_deployed(run, "node-1", NODES[-1])


def test_nodes_without_python(fleet: Laboratory, tmp_path: Path) -> None:
    steps = tmp_path / "steps.yaml"
    steps.write_text(
        "BroadcastEnvChain: {send_environment: {pre-ops: [{name: hide, action: exec, "
        "command: 'mv $(readlink -f /usr/bin/python3) /root/'}], "
        # The administrator's post-install works inside of the image, for which it needs it.
        "post-ops: [{name: show, action: exec, command: 'mv /root/python3.* /usr/bin/'}]}}\n"
    )
    options = ["--custom-steps", str(steps), *automaton("BroadcastEnvChain")]
    outcome = fleet.deploy(HOSTS, "-e", "fleet-min", *options).outcome(200)
    assert (outcome.status, sorted(outcome.ok)) == (0, NODES), str(outcome)
    said = f"no Python 3.11 there, so not in the chain; fetched by {TOOL}"
    assert f"   * {said}: {HOSTS}" in outcome.log
