# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C or SIGTERM in each macro-step: nodes told as aborted, exit status 130, nothing left running."""

from __future__ import annotations

import signal

import pytest

from .laboratory import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

# Where each of three deployments is interrupted, and how; they run at the same time to save some.
PLACES = {
    "node-1": ("SetDeploymentEnvUntrusted-wait_reboot", signal.SIGINT),
    "node-2": ("BroadcastEnvChain-send_environment", signal.SIGINT),
    "node-3": ("BootNewEnvClassical-wait_reboot", signal.SIGTERM),
}


def test_interrupt_in_each_macro_step(lab: Laboratory) -> None:
    runs = {node: lab.deploy(node, "-e", "debian12-min") for node in PLACES}
    for node, (place, number) in PLACES.items():
        run, (instance, step) = runs[node], place.split("-")
        run.wait_for(f"  {step} on {node}", 600, after=f"Deploy[{instance}] step on {node}")
        run.interrupt(number)
        outcome = run.outcome(60)
        assert (outcome.status, outcome.ok, outcome.ko) == (130, [], [node]), str(outcome)
        assert outcome.reasons("was aborted") == {node: f"{place}: aborted by the user"}
        assert "is successful" not in outcome.log
        assert outcome.errors.strip() == "kadeploy: interrupted"
        assert run.left_processes() == []
        assert lab.node_states(node) == ["aborted"]
