# SPDX-License-Identifier: Apache-2.0
"""SIGKILL in the middle, and a breakpoint: --resume goes on from there, and what was done stays done."""

from __future__ import annotations

import re

import pytest

from .laboratory import Laboratory, Run

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

# Where two deployments are killed, and the first step of each that its successor runs.
KILLED = {"node-1": "wait_reboot", "node-2": "install_bootloader"}
HELD = "BroadcastEnvKastafior:manage_user_post_install"


def workflow_of(run: Run) -> str:
    found = re.search(r"Deployment #(D-\S+) started", run.log)
    assert found, run.log
    return found[1]


def first_step(run: Run) -> str:
    found = re.search(r"^  (\w+) on ", run.log, re.MULTILINE)
    assert found, run.log
    return found[1]


def test_killed_and_held_deployments_are_resumed(lab: Laboratory) -> None:
    runs = {node: lab.deploy(node, "-e", "debian12-min") for node in KILLED}
    runs["node-3"] = lab.deploy("node-3", "-e", "debian12-min", "--breakpoint", HELD)
    for node, step in KILLED.items():
        runs[node].wait_for(f"  {step} on {node}", 600)
        runs[node].end()
    held = runs["node-3"].outcome(600)
    assert (held.status, held.ok, held.ko) == (0, ["node-3"], []), held
    mark = "echo changed by hand >/mnt/dest/etc/by-hand"
    change = lab.ssh("node-3", lab.minios_hosts("node-3"), lab.directory / "key", mark)
    assert change.returncode == 0, change.stderr
    listing = lab.command("kadeploy", "--list")
    for node, state in (("node-1", "interrupted: deploying"), ("node-3", "held: held")):
        assert f"{state} {node}" in listing, listing
    resumed = {node: lab.deploy(node, "--resume", workflow_of(run)) for node, run in runs.items()}
    for node, run in resumed.items():
        outcome = run.outcome(900)
        assert (outcome.status, outcome.ok, outcome.ko) == (0, [node], []), outcome
        assert first_step(run) == {**KILLED, "node-3": "manage_user_post_install"}[node]
        assert "send_environment" not in run.log or node == "node-1", "unpacked once is enough"
        lab.assert_deployed(run, node)
    known_hosts = resumed["node-3"].directory / "known_hosts"
    shown = lab.ssh("node-3", known_hosts, lab.directory / "key", "cat /etc/by-hand")
    assert shown.stdout == "changed by hand\n"
