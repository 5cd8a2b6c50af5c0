# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C or SIGTERM in each macro-step: nodes told as aborted, exit status 130, nothing left running."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from .laboratory import Laboratory, Run

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.nightly,
    pytest.mark.deploys("debian12-min"),
    pytest.mark.timeout(900),
]


def reach(run: Run, node: str, place: str) -> None:
    """Wait until a node is in a step."""
    instance, step = place.split("-")
    run.wait_for(f"  {step} on {node}", 600, after=f"Deploy[{instance}] step on {node}")


def interrupt(lab: Laboratory, run: Run, node: str, place: str, number: signal.Signals) -> None:
    """Interrupt a deployment whose node is in a step, and judge how it ends."""
    reach(run, node, place)
    run.interrupt(number)
    outcome = run.outcome(60)
    assert (outcome.status, outcome.ok, outcome.ko) == (130, [], [node]), str(outcome)
    assert outcome.reasons("was aborted") == {node: f"{place}: aborted by the user"}
    assert "is successful" not in outcome.log
    assert outcome.errors.strip() == "kadeploy: interrupted"
    assert run.left_processes() == []
    assert lab.node_states(node) == ["aborted"]


def in_the_first_boot(lab: Laboratory) -> None:
    with lab.fault("node-1", "no-boot"):
        run = lab.deploy("node-1", "-e", "debian12-min")
        interrupt(lab, run, "node-1", "SetDeploymentEnvUntrusted-wait_reboot", signal.SIGINT)


def in_the_broadcast(lab: Laboratory) -> None:
    with lab.slow_link("node-2"):
        run = lab.deploy("node-2", "-e", "debian12-min")
        interrupt(lab, run, "node-2", "BroadcastEnvChain-send_environment", signal.SIGINT)


def in_the_last_boot(lab: Laboratory) -> None:
    run = lab.deploy("node-3", "-e", "debian12-min")
    reach(run, "node-3", "BroadcastEnvChain-send_environment")
    with lab.fault("node-3", "no-boot"):
        interrupt(lab, run, "node-3", "BootNewEnvClassical-wait_reboot", signal.SIGTERM)


def test_interrupt_in_each_macro_step(lab: Laboratory) -> None:
    """Three deployments at once; each stays in its step until it is interrupted."""
    with ThreadPoolExecutor(3) as threads:
        places = (in_the_first_boot, in_the_broadcast, in_the_last_boot)
        for done in [threads.submit(place, lab) for place in places]:
            done.result()
