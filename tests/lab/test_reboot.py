# SPDX-License-Identifier: Apache-2.0
"""Reboots and power operations: on a QEMU machine with an empty disk, and on deployed container nodes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from .laboratory import DEPLOY_ENV, PROGRAMS, Laboratory, until

NODES = ["node-1", "node-2"]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A lab of one QEMU machine."""
    laboratory = Laboratory(f"t-{os.getpid()}-reboot", tmp_path_factory.mktemp("lab"))
    try:
        laboratory.up(1)
        yield laboratory
    finally:
        laboratory.down()


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A lab of two container nodes."""
    laboratory = Laboratory(f"t-{os.getpid()}-reboots", tmp_path_factory.mktemp("lab"))
    try:
        laboratory.up(2, "--driver", "container", "--boot-delay", "2", "--boot-spread", "1")
        yield laboratory
    finally:
        laboratory.down()


def refused(lab: Laboratory, program: str, *arguments: str) -> str:
    """What a command says that must be refused."""
    argv = [str(PROGRAMS / program), *arguments]
    done = subprocess.run(argv, env=lab.environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3, done
    return done.stderr


def power_of(lab: Laboratory, nodes: str) -> list[str]:
    found = json.loads(lab.command("kapower", "--status", "-m", nodes, "--json"))
    return [node["power"] for node in found["nodes"]]


def kill_a_reboot(lab: Laboratory, node: str) -> None:
    """kareboot is killed while it waits for a node."""
    argv = [str(PROGRAMS / "kareboot"), "-m", node]
    with subprocess.Popen(argv, env=lab.environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("wait_reboot on" in line for line in process.stdout)
        process.kill()
    assert "interrupted" in lab.command("kadeploy", "--list").splitlines()[0]


@pytest.mark.lab
@pytest.mark.deploys()
@pytest.mark.timeout(600)
def test_a_machine_is_switched_and_booted_into_the_minios(machine: Laboratory) -> None:
    assert power_of(machine, "node-1") == ["off"]
    log = machine.command("kapower", "--on", "-m", "node-1", seconds=120)
    assert "---\nnode-1: on\n---\n\nThe power operation is successful on nodes\nnode-1\n" in log
    machine.wait_for_power("node-1", "on")
    until(lambda: "No bootable device" in machine.kalab("console", "--log", "node-1"), 60, lambda: "it boots")
    key = ["-k", str(machine.directory / "key.pub")]
    log = machine.command("kareboot", "-r", "deploy_env", "-m", "node-1", *key, "-V", "4", seconds=400)
    assert "The reboot operation is successful on nodes\nnode-1\n" in log
    assert "Time in RebootDeployEnv-wait_reboot: " in log
    hosts = machine.minios_hosts("node-1")
    for private in (DEPLOY_ENV / "id_deploy", machine.directory / "key"):
        assert machine.ssh("node-1", hosts, private, "cat /proc/cmdline").stdout.count("kadeploy.boot=") == 1
    assert machine.node_states("node-1") == ["deploy_env"]
    assert "would boot the deployment environment again" in refused(machine, "kareboot", "-m", "node-1")
    machine.command("kapower", "--off", "-m", "node-1", seconds=120)
    machine.wait_for_power("node-1", "off")
    assert machine.node_states("node-1") == ["powered"]


@pytest.mark.fleet
@pytest.mark.deploys("fleet-min")
@pytest.mark.timeout(600)
def test_deployed_nodes_are_rebooted_in_every_way(containers: Laboratory) -> None:
    lab = containers
    recorded = ("-r", "recorded_env", "-e", "fleet-min")
    assert "node-[1-2] has no known environment" in refused(lab, "kareboot", *recorded, "-m", "node-[1-2]")
    run = lab.deploy("node-[1-2]", "-e", "fleet-min")
    assert run.outcome(300).ok == NODES
    deployed = lab.facts(run, "node-1")

    proved = ["--output-known-hosts", str(lab.directory / "proved")]
    lab.command("kareboot", "-m", "node-[1-2]", *proved, seconds=120)
    assert (lab.directory / "proved").read_text() == (run.directory / "known_hosts").read_text()
    lab.assert_deployed(run, *NODES)
    assert lab.facts(run, "node-1").boot != deployed.boot
    assert lab.node_states(*NODES) == ["rebooted", "rebooted"]

    kill_a_reboot(lab, "node-1")
    assert ": rebooting node-1" in lab.command("kadeploy", "--list").splitlines()[0]
    lab.command("kareboot", "-r", "deploy_env", "-m", "node-1", seconds=120)
    minios = lab.ssh("node-1", lab.minios_hosts("node-1"), DEPLOY_ENV / "id_deploy", "hostname")
    assert minios.returncode == 0, minios
    lab.command("kareboot", *recorded, "-p", "4", "-m", "node-1", seconds=120)
    lab.assert_deployed(run, "node-1")
    assert lab.node_states("node-1") == ["recorded_env"]
    assert "node-1 has fleet-min:1 of" in refused(lab, "kareboot", *recorded, "-p", "5", "-m", "node-1")

    lab.command("kapower", "--off", "-m", "node-2", seconds=120)
    assert power_of(lab, "node-[1-2]") == ["on", "off"]
    log = lab.command("kastat", "-F", "hostname,step1,success")
    assert "node-1,RebootRecordedEnv,true" in log and "node-2,PowerOff,true" in log
