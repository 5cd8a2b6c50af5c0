# SPDX-License-Identifier: Apache-2.0
"""A breakpoint: what is changed by hand in the miniOS stays, and --resume goes on from there."""

from __future__ import annotations

import re

import pytest

from .laboratory import Laboratory, Run

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.nightly,
    pytest.mark.deploys("debian12-min"),
    pytest.mark.timeout(1200),
]

HELD = "BroadcastEnvKastafior:manage_user_post_install"


def workflow_of(run: Run) -> str:
    found = re.search(r"Deployment #(D-\S+) started", run.log)
    assert found, run.log
    return found[1]


def test_held_deployment_is_resumed(lab: Laboratory) -> None:
    holds = ["--breakpoint", HELD, "--breakpoint", "BootNewEnv"]
    run = lab.deploy("node-3", "-e", "debian12-min", *holds)
    held = run.outcome(600)
    assert (held.status, held.ok, held.ko) == (0, ["node-3"], []), held
    mark = "echo changed by hand >/mnt/dest/etc/by-hand"
    change = lab.ssh("node-3", lab.minios_hosts("node-3"), lab.directory / "key", mark)
    assert change.returncode == 0, change.stderr
    assert "held: held node-3" in lab.command("kadeploy", "--list")
    places = ("BootNewEnvClassical-switch_pxe", "")
    for place in places:
        run = lab.deploy("node-3", "--resume", workflow_of(run))
        outcome = run.outcome(900)
        assert (outcome.status, outcome.ok, outcome.ko) == (0, ["node-3"], []), str(outcome)
        assert place in outcome.log.partition("The deployment is held")[2]
        assert "send_environment" not in run.log, "unpacked once is enough"
    lab.assert_deployed(run, "node-3")
    shown = lab.ssh("node-3", run.directory / "known_hosts", lab.directory / "key", "cat /etc/by-hand")
    assert shown.stdout == "changed by hand\n"
