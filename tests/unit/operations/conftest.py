# SPDX-License-Identifier: Apache-2.0
"""A site with everything that a plan needs, no machine behind it, and steps that a test writes."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kadeploy.boot.health import BootHealth
from kadeploy.config import site as configuration
from kadeploy.config.automata import parse_force_steps
from kadeploy.config.site import Site
from kadeploy.environments import description
from kadeploy.environments.environment import Environment
from kadeploy.operations.deploy.outcome import DeploymentOutcome
from kadeploy.operations.deploy.plan import DeploymentPlan, Planner
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.recipe import Recipes
from kadeploy.operations.result import OperationResult
from kadeploy.operations.run.event_log import WorkflowEventLog
from kadeploy.operations.run.feed import Feed
from kadeploy.operations.run.operation import MakeExecutor, Operation
from kadeploy.operations.run.tools import Tools, connect, make_workbench
from kadeploy.service.views.result import ResultView
from kadeploy.steps.workbench import DeploymentWorkbench, Memory
from kadeploy.store import workflows
from kadeploy.store.store import Store
from kadeploy.store.workflows import Workflow
from kadeploy.vocabulary.workflow import State
from kadeploy.workflow.driver import Report
from kadeploy.workflow.effects import Run
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from kadeploy.workflow.failure import Failure
from kadeploy.workflow.phase import Phase
from tests.archives import write_image
from tests.keys import write_key
from tests.unit.late_files import LateFiles

SERVER = """\
database: {name: store.sqlite}
network: {server_address: 127.0.0.1, ports: {ssh: 1}}
pxe: {dhcp: {repository: boot}}
cache: {directory: cache}
"""
CLUSTERS = """\
clusters:
  - {name: red, conf_file: red.conf, nodes: [{name: "red-[1-3]", address: "127.0.1.[1-3]"}]}
  - {name: blue, conf_file: blue.conf, nodes: [{name: "blue-[1-2]", address: "127.0.1.[11-12]"}]}
"""
CLUSTER = """\
partitioning:
  block_device: /dev/sda
  layout:
    - {name: swap, number: 1, size: 1GiB}
    - {name: deploy, number: 3, size: 20GiB}
    - {name: tmp, number: 5, size: rest}
boot: {kernels: {user: {params: quiet}, deploy: {vmlinuz: vmlinuz, initrd: initrd}}}
remoteops: {reboot: [{name: hard, cmd: "true HOSTNAME_FQDN"}]}
verify: {settle: 0}
"""
ENVIRONMENT = """\
name: debian
os: linux
image: {file: IMAGE, kind: tar, compression: gzip}
filesystem: ext4
boot: {kernel: /vmlinuz, kernel_params: console=ttyS0}
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("site")
    files = {"server.conf": SERVER, "clusters.conf": CLUSTERS, "red.conf": CLUSTER, "blue.conf": CLUSTER}
    for name, text in {
        **files,
        "vmlinuz": "kernel",
        "initrd": "initrd",
    }.items():
        (path / name).write_text(text)
    (path / "keys").mkdir()
    write_key(path / "keys/id_deploy")
    (path / "host.pub").write_bytes((path / "keys/id_deploy.pub").read_bytes())
    write_image(path / "image.tar.gz")
    (path / "disk.gz").write_bytes(gzip.compress(b"bytes of a disk"))
    return path


@pytest.fixture
def site(directory: Path, tmp_path: Path) -> Site:
    """The site, with a store of its own for each test."""
    found = configuration.load(directory)
    database = found.server.database.model_copy(update={"name": tmp_path / "store.sqlite"})
    return replace(found, server=found.server.model_copy(update={"database": database}))


@pytest.fixture
def environment(directory: Path) -> Environment:
    text = ENVIRONMENT.replace("IMAGE", str(directory / "image.tar.gz"))
    return description.parse(text, "debian.yaml").environment("root")


@pytest.fixture(autouse=True)
def boot_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A boot server works: its health has tests of its own."""

    async def problem(_: BootHealth) -> str:
        return ""

    monkeypatch.setattr(BootHealth, "problem", problem)


MakePlan = Callable[..., Any]


@pytest.fixture
def make_plan(site: Site, environment: Environment) -> MakePlan:
    """``await make_plan(store, "red-1", partition=5)`` is a checked plan."""

    async def make(store: Store, *nodes: str, **settings: Any) -> DeploymentPlan:
        wanted = settings.pop("environment", environment)
        request = DeploymentRequest(user="alice", nodes=nodes, environment=wanted, **settings)
        return await Planner(site, store, lambda *_: None).plan(request)

    return make


@pytest.fixture
async def store(site: Site) -> AsyncIterator[Store]:
    """The store of the site, open."""
    async with Store.open(site.server.database.name) as opened:
        yield opened


RESUMED = (Phase.HELD, Phase.RUNNING, Phase.WAITING)
RETRIED = (Phase.KO, Phase.ABORTED)
ONCE = parse_force_steps(
    "SetDeploymentEnv|SetDeploymentEnvUntrusted:0:0&BroadcastEnv|BroadcastEnvChain:0:0&"
    "BootNewEnv|BootNewEnvClassical:0:0"
)


class Watching(Feed):
    """A feed that remembers all that it told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Event] = []
        self.news = asyncio.Event()
        self.subscribe(self._note)

    def _note(self, event: Event) -> None:
        self.told.append(event)
        self.news.set()

    def of(self, kind: EventKind) -> list[Event]:
        """The events of one kind."""
        return [event for event in self.told if event.kind is kind]

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait for the event after which something holds."""
        async with asyncio.timeout(20):
            while not done():
                self.news.clear()
                await self.news.wait()


async def forget(*_: object) -> None:
    """Keep nothing."""


def workbench_of(plan: DeploymentPlan, store: Store) -> DeploymentWorkbench:
    """Workbench of the first cluster of a plan, outside of any operation."""
    tools = Tools(
        remote=connect(plan),
        files=LateFiles(),
        health=BootHealth(plan.site.server.network),
        memory=Memory(forget),
        probe=nullcontext,
        received=forget,
        progress=lambda _: None,
    )
    made = make_workbench(plan.site, store, plan.clusters[0], tools)
    assert isinstance(made, DeploymentWorkbench)
    return made


def deployment(plan: DeploymentPlan, store: Store, feed: Feed, executor: MakeExecutor) -> Operation:
    """A deployment whose micro-steps another executor runs."""
    return Operation(plan, DeploymentOutcome(plan), store, feed, executor)


class Script:
    """Stands for the steps, which need machines: fails or hangs where it is told to."""

    failing: frozenset[tuple[str, str]] = frozenset()
    failure = Failure("it broke", "last words")
    slow: frozenset[tuple[str, str]] = frozenset()
    hanging = ""
    reached = asyncio.Event()

    def __init__(self, _: object, recipes: Recipes, window: object) -> None:
        self._recipes = recipes

    @classmethod
    def operation(cls, plan: DeploymentPlan, store: Store, feed: Feed) -> Operation:
        """A deployment whose micro-steps are those of this script."""
        return deployment(plan, store, feed, cls)

    def admission(self, _: Run) -> AbstractAsyncContextManager[object]:
        return nullcontext()

    async def __call__(self, run: Run, report: Report) -> None:
        name = self._recipes.step(run.position).name
        if name == self.hanging:
            self.reached.set()
            await asyncio.sleep(60)
        if any((name, node) in self.slow for node in run.nodes):
            await asyncio.sleep(60)
        for node in run.nodes:
            report(node, self.failure if (name, node) in self.failing else None)


@pytest.fixture
def script() -> type[Script]:
    """A script of the test's own, which it tells what to do."""
    return type("Fresh", (Script,), {"reached": asyncio.Event()})


async def run(operation: Operation) -> OperationResult:
    """Begin a workflow, as the service does, and carry it out."""
    plan, store, feed = operation.plan, operation.store, operation.feed
    content = {"request": plan.describe_request()}
    kind, user = operation.outcome.kind, plan.request.user
    workflow = await workflows.create(store, kind, user, content, State.PLANNING)
    with feed.opened(workflow.id):
        async with feed.kept(WorkflowEventLog(store, workflow.id)):
            return await operation.run(workflow)


async def resume_operation(
    operation: Operation,
    workflow: Workflow,
    of_phases: Collection[Phase],
    names: Sequence[str] = (),
    start: str = "",
) -> OperationResult:
    """Go on with a workflow, as the service does."""
    with operation.feed.opened(workflow.id):
        return await operation.resume(workflow, of_phases, names, start)


async def interrupt(operation: Operation, script: type[Script]) -> None:
    """Run it until it hangs in the script's step, and cancel it there: its nodes are aborted."""
    running = asyncio.create_task(run(operation))
    async with asyncio.timeout(5):
        await script.reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert set(phases(operation.result()).values()) == {"aborted"}


def phases(result: OperationResult | ResultView) -> dict[str, str]:
    """How each node has ended."""
    return {node.node: str(node.phase) for node in result.nodes}
