# SPDX-License-Identifier: Apache-2.0
"""Ways of a stranger against a broadcast: the nodes get the image all the same."""

from __future__ import annotations

import subprocess

import pytest

from tests.attack.conftest import NODE
from tests.attack.stranger import Stranger
from tests.lab.laboratory import Laboratory, until

pytestmark = [pytest.mark.fleet, pytest.mark.deploys("fleet-min"), pytest.mark.timeout(240)]

ELSEWHERE = "172.31.8.2"


def relay_ports(lab: Laboratory, node: str) -> list[int]:
    """Ports of a node, but that of its sshd, to which the head has a connection; a stranger would try all."""
    looking = ["ss", "-Htn", "state", "established", "dst", lab.addresses[node]]
    argv = ["ip", "netns", "exec", f"kalab-{lab.name}", *looking]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    return [port for line in lines if (port := int(line.split()[-1].rpartition(":")[2])) >= 1024]


def test_a_flood_at_the_relay_does_not_keep_the_head_out(lab: Laboratory, stranger: Stranger) -> None:
    """The node's cable is out for a while in the middle of the image, so that it has to be fed once more."""
    stranger.take_address(ELSEWHERE)
    hold = ["--breakpoint", "BroadcastEnv:send_environment", "--write-workflow-id", "wid"]
    held = lab.deploy(NODE, "-e", "fleet-min", *hold)
    assert held.outcome(100).status == 0
    lab.kalab("fault", NODE, "cut-link=3@3MiB", "on")
    lab.kalab("fault", NODE, "slow-link=8mbit", "on")
    run = lab.deploy(NODE, "--resume", (held.directory / "wid").read_text())
    until(lambda: bool(relay_ports(lab, NODE)), 30, lambda: f"no relay is fed:\n{run.log}")
    stranger.flood(lab.addresses[NODE], relay_ports(lab, NODE)[0])
    run.wait_for("send_environment ended", 60)
    lab.kalab("fault", "--mend")
    stranger.rest()
    outcome = run.outcome(100)
    assert (outcome.status, outcome.ok) == (0, [NODE]), str(outcome)
