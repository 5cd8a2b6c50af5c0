# SPDX-License-Identifier: Apache-2.0
"""SIGKILL in each micro-step, one after the other: each time --resume finds the node and goes on."""

from __future__ import annotations

import json
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kadeploy.vocabulary.names import INSTANCES

from .laboratory import Laboratory, Run

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.nightly,
    pytest.mark.deploys("debian12-min"),
    pytest.mark.timeout(1800),
]

PROGRAM = Path(__file__).with_name("killed_kadeploy.py")
STEP_OPTION = (
    "SetDeploymentEnv|SetDeploymentEnvUntrusted:0:0&BroadcastEnv|BroadcastEnvChain:0:0&BootNewEnv|{}:0:0"
)


def restart(place: str) -> str:
    """Where the step that was broken off is redone."""
    instance, _, name = place.partition(":")
    step = INSTANCES[instance].micro_step(name)
    assert step is not None
    return f"{instance}:{step.restart or name}"


def start(lab: Laboratory, node: str, fatal: str, *options: str) -> Run:
    return lab.deploy(node, *options, "--write-workflow-id", "wid", program=(sys.executable, PROGRAM, fatal))


def begun(run: Run) -> list[str]:
    return (run.directory / "steps").read_text().split()


def steps_of(lab: Laboratory, node: str, *options: str) -> list[str]:
    """All the micro-steps of a deployment."""
    plan = json.loads(
        lab.command(
            "kadeploy", "-m", node, "-k", str(lab.directory / "key.pub"), *options, "--dry-run", "--json"
        )
    )
    [cluster] = plan["clusters"]
    instances = [instance for instances in cluster["macrosteps"].values() for instance in instances]
    return [f"{one['instance']}:{step['name']}" for one in instances for step in one["microsteps"]]


def kill_in_each(lab: Laboratory, node: str, boot: str, first: str) -> None:
    """Deploy a node by a boot instance, killed in each step from the macro-step ``first`` on."""
    options = ("-e", "debian12-min", "--force-steps", STEP_OPTION.format(boot))
    every = steps_of(lab, node, *options)
    fatal = every[next(index for index, place in enumerate(every) if place.startswith(first)) :]
    run = start(lab, node, fatal[0], *options)
    assert run.process.wait(600) == -signal.SIGKILL, run.outcome(1)
    workflow, done = (run.directory / "wid").read_text(), begun(run)
    assert done == every[: every.index(fatal[0]) + 1]
    assert f"interrupted: deploying {node}\n" in lab.command("kadeploy", "--list")
    for killed, following in zip(fatal, [*fatal[1:], "-"], strict=True):
        run = start(lab, node, following, "--resume", workflow)
        status = run.process.wait(600)
        assert status == (0 if following == "-" else -signal.SIGKILL), (killed, run.outcome(1))
        expected = every[every.index(restart(killed)) :]
        if following != "-":
            expected = expected[: expected.index(following) + 1]
        assert begun(run) == expected, f"killed in {killed}"
    outcome = run.outcome(1)
    assert (outcome.ok, outcome.ko) == ([node], []), str(outcome)
    lab.assert_deployed(run, node)


def test_killed_in_each_step(lab: Laboratory) -> None:
    chains = [
        ("node-1", "BootNewEnvClassical", "SetDeploymentEnv"),
        ("node-2", "BootNewEnvKexec", "BootNewEnv"),
        ("node-3", "BootNewEnvHardReboot", "BootNewEnv"),
    ]
    with ThreadPoolExecutor(len(chains)) as threads:
        waits = [threads.submit(kill_in_each, lab, *chain) for chain in chains]
        for wait in waits:
            wait.result()
