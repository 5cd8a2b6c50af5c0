# SPDX-License-Identifier: Apache-2.0
"""Container nodes: deployments on many of them, and nothing left of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kadeploy.boot.requests import BootFileRequest, requests_of
from kadeploy.lab import processes

from .laboratory import Laboratory, Run, until

pytestmark = [pytest.mark.fleet, pytest.mark.deploys("debian12-min", "fleet-min"), pytest.mark.timeout(600)]

COUNT = 30
NODES = [f"node-{number}" for number in range(1, COUNT + 1)]
RATE = 100  # megabits per second
KEXEC = (
    "SetDeploymentEnv|SetDeploymentEnvUntrusted:1:450&"
    "BroadcastEnv|BroadcastEnvChain:1:900&"
    "BootNewEnv|BootNewEnvKexec:1:250"
)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A lab of thirty container nodes, which the tests use one after the other."""
    laboratory = Laboratory(f"t-{os.getpid()}-fleet", tmp_path_factory.mktemp("fleet"))
    try:
        laboratory.up(COUNT, "--driver", "container", "--boot-delay", "2", "--boot-spread", "1")
        yield laboratory
    finally:
        laboratory.down()
    assert_gone(laboratory)


def test_thirty_nodes(fleet: Laboratory) -> None:
    run = fleet.deploy(f"node-[1-{COUNT}]", "-e", "fleet-min")
    outcome = run.outcome(400)
    assert (outcome.status, sorted(outcome.ok), outcome.ko) == (0, sorted(NODES), []), str(outcome)
    fleet.assert_deployed(run, "node-1", f"node-{COUNT}")
    assert devices_mounted(fleet, run, "node-1") == {"/dev/vda4"}, (
        "one of the host's would be taken for its own"
    )
    assert_restarts(fleet, run, "node-1", "reboot")
    assert_restarts(fleet, run, "node-2", "reboot -f")
    fleet.cycle(run, "node-3")


def devices_mounted(fleet: Laboratory, run: Run, node: str) -> set[str]:
    """Block devices of which a node sees file systems."""
    mounts = fleet.ssh(node, run.directory / "known_hosts", fleet.directory / "key", "cat /proc/self/mounts")
    return {line.split()[0] for line in mounts.stdout.splitlines() if line.startswith("/dev/")}


def test_kexec_into_systemd(fleet: Laboratory) -> None:
    run = fleet.deploy("node-[1-2]", "-e", "debian12-min", "--force-steps", KEXEC)
    outcome = run.outcome(300)
    assert (outcome.status, outcome.ok) == (0, ["node-1", "node-2"]), str(outcome)
    fleet.assert_deployed(run, "node-1", "node-2")
    done = fleet.ssh(
        "node-1", run.directory / "known_hosts", fleet.directory / "key", "systemctl is-system-running --wait"
    )
    assert done.stdout == "running\n"
    fleet.cycle(run, "node-1")  # its getty has hung the console up


def test_power_off_from_inside(fleet: Laboratory) -> None:
    run = fleet.deploy("node-4", "-e", "fleet-min")
    outcome = run.outcome(300)
    assert outcome.status == 0, str(outcome)
    order(fleet, run, "node-4", "poweroff")
    fleet.wait_for_power("node-4", "off")


@pytest.fixture
def slow_fleet(tmp_path: Path) -> Iterator[Laboratory]:
    """Two nodes at slow links."""
    laboratory = Laboratory(f"t-{os.getpid()}-slow", tmp_path)
    options = ["--rate", f"{RATE}mbit", "--boot-delay", "1", "--boot-spread", "0"]
    try:
        laboratory.up(2, "--driver", "container", *options)
        yield laboratory
    finally:
        laboratory.down()
    assert_gone(laboratory)


def test_rate_and_slow_boot(slow_fleet: Laboratory) -> None:
    lab = slow_fleet
    with lab.fault("node-2", "slow-boot"):
        lab.kalab("power", "node-[1-2]", "on")
        until(lambda: len(requests(lab, "boot.ipxe")) == 2, 60, lambda: "the nodes do not boot")
    first, second = requests(lab, "boot.ipxe")
    assert (first.client, second.client) == ("172.31.0.11", "172.31.0.12")
    assert (second.time - first.time).total_seconds() > 8
    hold = ["--breakpoint", "SetDeploymentEnvUntrusted:send_key_in_deploy_env"]
    outcome = lab.deploy("node-1", "-e", "fleet-min", *hold).outcome(200)
    assert outcome.status == 0, str(outcome)
    [fetched] = requests(lab, "initrd")
    megabits = fetched.bytes * 8 / 1e6
    # A second for what the head's socket buffers take before the link has carried it.
    assert megabits / RATE - 1 < fetched.seconds


def requests(lab: Laboratory, name: str) -> list[BootFileRequest]:
    """What the nodes have fetched of files whose names end so."""
    repository, begin = Path(f"/var/lib/kalab/{lab.name}/boot"), datetime.min.replace(tzinfo=UTC)
    asked = [one for node in (1, 2) for one in requests_of(repository, f"172.31.0.{10 + node}", begin)]
    return [request for request in asked if request.path.endswith(name)]


def order(fleet: Laboratory, run: Run, node: str, command: str) -> None:
    """Tell a deployed node to end its system."""
    script = f"(sleep 0.3; {command}) </dev/null >/dev/null 2>&1 &"
    done = fleet.ssh(node, run.directory / "known_hosts", fleet.directory / "key", script)
    assert done.returncode == 0, done.stderr


def assert_restarts(fleet: Laboratory, run: Run, node: str, command: str) -> None:
    """The command ends in another boot of the deployed system."""
    before = fleet.facts(run, node)
    order(fleet, run, node, command)
    fleet.wait_for_boot(run, node, before.boot, 60)
    fleet.assert_deployed(run, node)


def assert_gone(fleet: Laboratory) -> None:
    """No process, namespace, mount, loop device, cgroup or file is left."""
    state = f"/var/lib/kalab/{fleet.name}"
    mark = f"{processes.MARKER}={state}".encode()
    left = [path for path in Path("/proc").iterdir() if path.name.isdigit() and mark in environment(path)]
    assert left == []
    assert state not in Path("/proc/self/mountinfo").read_text()
    backing = [path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    assert [path for path in backing if path.startswith(state)] == []
    assert not list(Path("/sys/fs/cgroup").rglob(f"kalab-{fleet.name}"))
    assert not Path(state).exists()
    assert not Path(f"/run/netns/kalab-{fleet.name}").exists()


def environment(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []  # it has ended meanwhile
