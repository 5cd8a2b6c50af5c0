# SPDX-License-Identifier: Apache-2.0
"""Custom operations on a node: this machine, through a real sshd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kadeploy.config.custom_steps import CustomSteps
from kadeploy.config.site import Site
from kadeploy.operations.deploy.operation_files import with_absolute_files
from kadeploy.operations.deploy.plan import DeploymentPlan, Planner
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.run.executor import StepExecutor
from kadeploy.remote.connection import NodeConnections
from kadeploy.remote.hostkey import wait_for_host_key
from kadeploy.store.store import Store
from kadeploy.workflow.automaton import Position
from kadeploy.workflow.effects import Run
from kadeploy.workflow.failure import Failure
from tests.unit.operations.conftest import workbench_of
from tests.unit.remote.conftest import Keys, Sshd, keys, sshd

__all__ = ["keys", "sshd"]  # fixtures

NODE = "red-1"
Perform = Callable[..., Awaitable[Failure | None]]


@pytest.fixture
async def connections(sshd: Sshd, keys: Keys) -> AsyncIterator[NodeConnections]:
    async with asyncio.timeout(10):
        await wait_for_host_key("127.0.0.1", sshd.port, [keys.public("host")], interval=0.05)
    opened = NodeConnections(client_key=keys.client, address={NODE: "127.0.0.1"}, port=sshd.port)
    opened.pin(NODE, [keys.public("host")])
    yield opened
    await opened.aclose()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the image is unpacked."""
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def perform(
    site: Site, environment: Any, connections: NodeConnections, root: Path, tmp_path: Path
) -> Perform:
    """``await perform(action="exec", command="true")`` is None, or how the operation has failed."""
    environments = site.server.environments
    paths = environments.deployment.model_copy(update={"extraction_dir": str(root)})
    changed = {"environments": environments.model_copy(update={"deployment": paths})}
    there = replace(site, server=site.server.model_copy(update=changed))

    async def make_plan(store: Store, operation: dict[str, Any]) -> DeploymentPlan:
        steps = CustomSteps.model_validate(
            {"BroadcastEnv": {"sync": {"pre-ops": [{"name": "mine", **operation}]}}}
        )
        steps = with_absolute_files(steps, str(tmp_path / "custom.yaml"))
        request = DeploymentRequest(user="alice", nodes=(NODE,), environment=environment, custom_steps=steps)
        return await Planner(there, store, lambda *_: None).plan(request)

    async def carry_out(seconds: float = 10, **operation: Any) -> Failure | None:
        async with Store.open(there.server.database.name) as store:
            plan = await make_plan(store, operation)
            cluster, workbench = plan.clusters[0], replace(workbench_of(plan, store), remote=connections)
            names = [step.name for step in cluster.automaton.macrosteps[1].instances[0].microsteps]
            run = Run(1, Position(1, 0, names.index("sync-mine")), (NODE,), 0, 1, seconds)
            ends: list[Failure | None] = []
            execute = StepExecutor(workbench, cluster.recipes, nullcontext)
            try:
                async with asyncio.timeout(seconds):
                    await execute(run, lambda _, failure: ends.append(failure))
            except TimeoutError:
                pass  # what the driver makes of it is the driver's
        assert workbench.memory.facts[NODE].erased, "nobody knows what it has done to the disk"
        [end] = ends
        return end

    return carry_out


async def test_a_command_has_the_variables_exported(perform: Perform, tmp_path: Path) -> None:
    inner = "sh -c 'echo $KADEPLOY_NODE $KADEPLOY_DEPLOY_PART $KADEPLOY_ENV'"
    assert await perform(action="exec", command=f"{inner} | tr a-z A-Z > {tmp_path}/out") is None
    assert (tmp_path / "out").read_text() == "RED-1 /DEV/SDA3 DEBIAN\n"


async def test_a_command_that_fails(perform: Perform) -> None:
    failure = await perform(action="exec", command="echo one >&2; echo 'no\nsuch thing' >&2; exit 3")
    assert failure is not None and failure.cause == "custom"
    assert failure.reason == "'echo one >&2; echo 'no such thing' >&2; exit 3': exit status 3: such thing"
    assert failure.evidence.splitlines()[-3:] == ["one", "no", "such thing"]


async def test_a_command_that_does_not_end(perform: Perform, tmp_path: Path) -> None:
    failure = await perform(1, action="exec", command=f"echo begun >&2; sleep 60; touch {tmp_path}/late")
    assert failure is not None and failure.reason.endswith("had not ended")
    assert "begun" in failure.evidence
    assert not (tmp_path / "late").exists()


async def test_a_script_with_parameters(perform: Perform, tmp_path: Path) -> None:
    (tmp_path / "tune.sh").write_text(f'#!/bin/sh\nprintf "%s|" "$@" $KADEPLOY_CLUSTER > {tmp_path}/out\n')
    failure = await perform(
        action="run",
        file="./tune.sh",
        params="--root ${KADEPLOY_ENV_EXTRACTION_DIR}/x 'a b; $KADEPLOY_NODE' \"\"",
    )
    assert failure is None
    assert (tmp_path / "out").read_text() == f"--root|{tmp_path}/root/x|a b; red-1||red|"


async def test_a_script_that_fails(perform: Perform, tmp_path: Path) -> None:
    (tmp_path / "tune.sh").write_text("#!/bin/sh\necho bad $1 >&2\nexit 7\n")
    failure = await perform(action="run", file="tune.sh", params="luck")
    assert failure is not None
    assert failure.reason == "'tune.sh luck': exit status 7: bad luck"


@pytest.mark.parametrize("mode", [0o600, 0o755])
async def test_a_file_keeps_its_name_and_permissions(
    perform: Perform, tmp_path: Path, root: Path, mode: int
) -> None:
    (tmp_path / "a b;c").write_bytes(b"\0content")
    (tmp_path / "a b;c").chmod(mode)
    destination = "$KADEPLOY_ENV_EXTRACTION_DIR/new `touch x`; x"
    assert await perform(action="send", file="a b;c", destination=destination) is None
    sent = root / "new `touch x`; x" / "a b;c"
    assert sent.read_bytes() == b"\0content" and sent.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize(
    ("target", "found"),
    [("/", "new"), ("/etc", "etc/new"), ("../..", "new"), ("etc", "etc/new"), ("./etc/../etc", "etc/new")],
)
async def test_links_are_followed_in_the_image(
    perform: Perform, tmp_path: Path, root: Path, target: str, found: str
) -> None:
    (root / "link").symlink_to(target)
    (tmp_path / "file").write_text("x")
    destination = "$KADEPLOY_ENV_EXTRACTION_DIR/link/new"
    assert await perform(action="send", file="file", destination=destination) is None
    assert (root / found / "file").read_text() == "x"


async def test_a_file_that_is_a_link_of_the_image_is_replaced(
    perform: Perform, tmp_path: Path, root: Path
) -> None:
    (tmp_path / "outside").write_text("of the miniOS")
    (root / "file").symlink_to(tmp_path / "outside")
    (tmp_path / "file").write_text("x")
    assert await perform(action="send", file="file", destination="$KADEPLOY_ENV_EXTRACTION_DIR") is None
    assert (root / "file").read_text() == "x" and (tmp_path / "outside").read_text() == "of the miniOS"


@pytest.mark.parametrize("before", ["/", "/."])
async def test_other_writings_of_the_images_directory(
    perform: Perform, tmp_path: Path, root: Path, before: str
) -> None:
    (root / "link").symlink_to("/etc")
    (tmp_path / "file").write_text("x")
    assert await perform(action="send", file="file", destination=f"{before}{root}/link/new") is None
    assert (root / "etc/new/file").read_text() == "x"


async def test_a_link_of_the_image_into_the_kernels_directories(
    perform: Perform, tmp_path: Path, root: Path
) -> None:
    (root / "link").symlink_to("/proc")
    (tmp_path / "file").write_text("x")
    failure = await perform(action="send", file="file", destination="$KADEPLOY_ENV_EXTRACTION_DIR/link")
    assert (
        failure is not None and "/link of the image leads to /proc, which is no directory" in failure.reason
    )


async def test_links_into_the_kernels_directories(perform: Perform, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc")
    (tmp_path / "file").write_text("x")
    failure = await perform(action="send", file="file", destination=f"{tmp_path}/link/1")
    assert failure is not None and "leads to /proc/1" in failure.reason
