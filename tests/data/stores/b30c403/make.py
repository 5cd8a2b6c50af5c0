# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402 - the clock is set before anything can read it
"""Make a store as the code of commit b30c403 writes it, whose checkout is PYTHONPATH; see ../README.md.

PYTHONPATH=CHECKOUT .venv/bin/python .../tests/data/stores/b30c403/make.py FILE
"""

from __future__ import annotations

import os
import time

START = 1735689600.0  # 2025-01-01: leases of a dead process have ended, whichever day a test is run
_clock, _begun = time.time, time.time()
time.time = lambda: START + _clock() - _begun

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import asyncssh

from kadeploy.config import custom_steps
from kadeploy.config import site as configuration
from kadeploy.config.automata import parse_force_steps
from kadeploy.config.expression import Expression
from kadeploy.operations import kinds
from kadeploy.operations import workflows as overviews
from kadeploy.operations.deploy.operation_files import with_absolute_files
from kadeploy.operations.deploy.outcome import DeploymentOutcome
from kadeploy.operations.deploy.plan import Planner
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.power.outcome import PowerOutcome
from kadeploy.operations.power.plan import plan_power
from kadeploy.operations.power.request import PowerKind, PowerRequest
from kadeploy.operations.reboot.outcome import RebootOutcome
from kadeploy.operations.reboot.plan import plan_reboot
from kadeploy.operations.reboot.request import RebootKind, RebootRequest
from kadeploy.operations.request import EnvironmentName
from kadeploy.operations.run.event_log import WorkflowEventLog
from kadeploy.operations.run.executor import StepExecutor
from kadeploy.operations.run.feed import Feed
from kadeploy.operations.run.operation import Operation
from kadeploy.store import workflows
from kadeploy.store.receptions import Reception
from kadeploy.store.store import Store
from kadeploy.vocabulary.workflow import State
from kadeploy.workflow.failure import Failure
from kadeploy.workflow.phase import Phase

SITE = Path("/tmp/kadeploy-site")  # recorded in requests and environments: the test puts its own in its place
STORE = SITE / "kadeploy.sqlite"
ONCE = (
    "SetDeploymentEnv|SetDeploymentEnvUntrusted:0:300&BroadcastEnv|BroadcastEnvTree:0:1200&"
    "BootNewEnv|BootNewEnvClassical:0:0"
)
RESUMED, RETRIED = (Phase.HELD, Phase.RUNNING, Phase.WAITING), (Phase.KO, Phase.ABORTED)
HUNG = set()  # the nodes that hang
TEN_YEARS = 10 * 365 * 24 * 3600.0


class Script(StepExecutor):
    """Stands for the steps, which need machines: what is known of nodes is kept as by the steps."""

    failing = ()
    hanging = ()
    slow = ()

    async def __call__(self, run, report):
        name = self._recipes.step(run.position).name
        nodes = [self._workbench.facts.nodes[node] for node in run.nodes]
        for node in nodes:
            if changes := learn(name, node.name):
                await self._workbench.remember(node, **changes)
        await asyncio.sleep(0.02)
        if name == "send_environment":
            await self._workbench.received(receive(run.nodes))
        for node in run.nodes:
            if (name, node) in self.slow:
                await asyncio.sleep(60)
            if (name, node) in self.hanging:
                await self.hang(node)
            failed = (name, node) in self.failing
            report(node, Failure("it broke", "last words", "environment") if failed else None)

    async def hang(self, node):
        """Do not end; when all that shall hang do so, and the others wait for them, the process is killed."""
        HUNG.add(node)
        if len(HUNG) == len(self.hanging):
            await asyncio.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(60)


def learn(step, node):
    """What a step of this name finds out about a node."""
    key = (SITE / "host.pub").read_text().strip()
    return {
        "reboot": {
            "order": 7,
            "fetched": 1,
            "profile_switched": True,
            "rebooted_at": time.time(),
            "console_size": 4711,
        },
        "create_partition_table": {"erased": True},
        "send_environment": {"written": True},
        "read_host_keys": {"host_keys": (key,)},
        "reboot_from_deploy_env": {"left_minios": True},
        "kexec": {"left_minios": True},
        "power_status": {"power": "on"},
    }.get(step)


def receive(nodes):
    """Receptions of one broadcast to nodes."""
    started = time.time()
    return [
        Reception(started, node, 0, position, 80_000_000, 1.5, True, position % 2, ("slow",) * (position % 2))
        for position, node in enumerate(nodes)
    ]


async def deploy(store, site, *nodes, **settings):
    """Carry out a deployment."""
    return await carry_out(await begin(store, site, *nodes, **settings))


async def carry_out(operation):
    """Begin a workflow, as the service does, and carry it out."""
    plan, store, feed = operation.plan, operation.store, operation.feed
    content = {"request": plan.describe_request()}
    kind, user = operation.outcome.kind, plan.request.user
    workflow = await workflows.create(store, kind, user, content, State.PLANNING)
    with feed.opened(workflow.id):
        async with feed.kept(WorkflowEventLog(store, workflow.id)):
            return await operation.run(workflow)


async def begin(store, site, *nodes, **settings):
    """A deployment that has not begun."""
    wanted = DeploymentRequest(
        user="alice",
        nodes=nodes,
        environment=EnvironmentName("debian", "root"),
        keys=b"ssh-ed25519 AAAA alice\n",
        **settings,
    )
    return await operation_of(store, site, wanted)


async def operation_of(store, site, wanted):
    """The operation of a request for a deployment."""
    plan = await Planner(site, store, lambda *_: None).plan(wanted)
    return Operation(plan, DeploymentOutcome(plan), store, Feed(), Script)


async def deploy_and_hold(store, site):
    """Two deployments that are held: all nodes at a breakpoint, then one node where it failed."""
    steps = with_absolute_files(custom_steps.load(SITE / "steps.yaml"), str(SITE / "steps.yaml"))
    await deploy(
        *(store, site, "red-1", "red-2", "blue-1"),
        breakpoints=("BroadcastEnv:manage_user_post_install",),
        custom_steps=steps,
        hold_seconds=TEN_YEARS,
    )
    Script.failing = [("check_kernel_files", "red-4")]
    await deploy(store, site, "red-3", "red-4", "blue-3", hold_failures=True, reformat_tmp="ext4")


async def deploy_and_end(store, site):
    """A deployment with a failed node and a spare, and what was done to its nodes later."""
    Script.failing = [("create_partition_table", "red-8")]
    settings = {"spares": ("blue-7",), "automaton": parse_force_steps(ONCE), "min_ok": 1}
    await deploy(store, site, "red-7", "red-8", deadline=Expression("600 + n"), **settings)
    reboot = RebootRequest(
        user="alice",
        nodes=("red-7",),
        kind=RebootKind.RECORDED_ENV,
        environment=EnvironmentName("debian", "root"),
    )
    plan = await plan_reboot(site, store, reboot)
    await carry_out(Operation(plan, RebootOutcome(plan), store, Feed(), Script))
    for kind in (PowerKind.STATUS, PowerKind.OFF):
        power = PowerRequest(user="bob", nodes=("red-9",), kind=kind)
        plan = await plan_power(site, power)
        await carry_out(Operation(plan, PowerOutcome(plan), store, Feed(), Script))


async def deploy_in_bits(store, site):
    """A deployment that was interrupted, resumed, abandoned, retried, and is held in the end."""
    Script.slow = [("reboot", "green-3"), ("check_kernel_files", "green-1")]
    nodes = ("green-1", "green-2", "green-3")
    operation = await begin(store, site, *nodes, breakpoints=("BootNewEnv",), hold_seconds=TEN_YEARS)
    running = asyncio.create_task(carry_out(operation))
    await asyncio.sleep(2)  # the others go on after their grace, and are held
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    Script.slow = ()
    await resume(store, site, operation.wid, RESUMED, ["green-2"], "BroadcastEnv")
    await overviews.abandon(store, await workflows.read(store, operation.wid))
    await resume(store, site, operation.wid, RETRIED)


async def resume(store, site, wid, phases, *where):
    """Let nodes of a deployment go on."""
    workflow = await workflows.read(store, wid)
    operation = await operation_of(store, site, kinds.recorded(workflow))
    with operation.feed.opened(wid):
        async with operation.feed.kept(WorkflowEventLog(store, wid)):
            await operation.resume(workflow, phases, *where)


async def deploy_and_die(store, site):
    """A deployment whose process is killed: of its nodes one waits, one reboots, one is in a post-install."""
    Script.hanging = [("reboot", "red-6"), ("manage_user_post_install", "blue-4")]
    await deploy(store, site, "red-5", "red-6", "blue-4", "blue-5")


def run(work):
    """Let work use the store in a process of its own; how that has ended."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    async def use():
        async with Store.open(STORE) as store:
            await work(store, configuration.load(SITE))

    try:
        asyncio.run(use())
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def main(file):
    shutil.copytree(Path(__file__).parents[1] / "site", SITE)  # fails where it is there
    try:
        (SITE / "host.pub").chmod(0o644)  # the mode of what a custom step sends is in its digest
        (SITE / "keys").mkdir()
        key = asyncssh.generate_private_key("ssh-ed25519")
        (SITE / "keys/id_deploy").touch(mode=0o600)
        key.write_private_key(SITE / "keys/id_deploy")
        kaenv = Path(sys.executable).with_name("kaenv")
        variables = {**os.environ, "KADEPLOY_CONFIG_DIR": str(SITE)}
        subprocess.run([kaenv, "-a", SITE / "debian.yaml"], check=True, env=variables)
        assert run(deploy_and_end) == 0
        assert run(deploy_and_hold) == 0
        assert run(deploy_in_bits) == 0
        assert run(deploy_and_die) == -signal.SIGKILL
        with closing(sqlite3.connect(STORE)) as store:
            # Smaller pages, which cannot be had with a write-ahead log, make the file half as large.
            for change in ("journal_mode = DELETE", "page_size = 1024"):
                store.execute(f"PRAGMA {change}")
            store.execute("VACUUM")
            store.execute("PRAGMA journal_mode = WAL")
        shutil.copyfile(STORE, file)
    finally:
        shutil.rmtree(SITE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
