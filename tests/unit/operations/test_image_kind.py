# SPDX-License-Identifier: Apache-2.0
"""A kind of image that a site has registered: from its description to the command that takes it."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from kadeploy.broadcast.interface import Broadcast, Delivery, RelayResult
from kadeploy.environments import description
from kadeploy.environments.image_kind import IMAGE_KINDS, ImageKind
from kadeploy.errors import FileError, RefusedError, UsageError
from kadeploy.operations.deploy.plan import DeploymentPlan
from kadeploy.steps.broadcast_env import send_environment
from kadeploy.steps.node_run import NodeRun
from kadeploy.store.store import Store
from tests.unit.given_broadcast import GivenBroadcast
from tests.unit.operations.conftest import ENVIRONMENT, MakePlan, workbench_of
from tests.unit.registering import register

BUILT_IN = IMAGE_KINDS.names


class PlugIn(ImageKind):
    """Image that is kept as a file and copied."""

    name = "copied"
    brings_file_system = suits_whole_disk = streamed = False
    required_fields: Mapping[str, str] = MappingProxyType({"filesystem": "is copied into one"})

    def __init__(self, brings_file_system: bool, target: Path) -> None:
        self.brings_file_system = self.suits_whole_disk = brings_file_system
        self._target = target

    def command(self, source: str, device: str, directory: str) -> list[str]:
        return ["cp", source, str(self._target)]


@pytest.fixture
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageKind:
    """The registered kind; it brings a file system where the parameter says so."""
    plug_in = PlugIn(getattr(request, "param", False), tmp_path / "target")
    register(monkeypatch, IMAGE_KINDS, plug_in)
    return plug_in


@pytest.fixture
def text(tmp_path: Path) -> str:
    """A description of such an image."""
    (tmp_path / "image.gz").write_bytes(gzip.compress(b"a system"))
    return ENVIRONMENT.replace("IMAGE", str(tmp_path / "image.gz")).replace("kind: tar", "kind: copied")


async def planned(make_plan: MakePlan, store: Store, text: str, **request: str) -> DeploymentPlan:
    environment = description.parse(text, "copied.yaml").environment("root")
    plan: DeploymentPlan = await make_plan(store, "red-1", environment=environment, **request)
    return plan


def steps(plan: DeploymentPlan, macro: int) -> list[str]:
    instance = plan.clusters[0].automaton.macrosteps[macro].instances[0]
    return [step.name for step in instance.microsteps]


def test_a_description_may_not_name_it_before(text: str) -> None:
    with pytest.raises(
        FileError, match=f"there is no kind of image 'copied'; there are {', '.join(BUILT_IN)}"
    ):
        description.parse(text, "copied.yaml")


@pytest.mark.usefixtures("kind")
def test_its_fields_are_checked(text: str) -> None:
    with pytest.raises(FileError, match="'filesystem' is missing: a copied image is copied into one"):
        description.parse(text.replace("filesystem: ext4\n", ""), "copied.yaml")


@pytest.mark.usefixtures("kind")
async def test_its_file_system_is_made_and_mounted_before(
    store: Store, make_plan: MakePlan, text: str
) -> None:
    plan = await planned(make_plan, store, text)
    assert steps(plan, 0)[-3:] == ["format_deploy_part", "mount_deploy_part", "format_swap_part"]
    assert steps(plan, 1)[:2] == ["send_environment", "check_kernel_files"]


@pytest.mark.usefixtures("kind")
async def test_the_minios_must_be_able_to_make_it(store: Store, make_plan: MakePlan, text: str) -> None:
    with pytest.raises(RefusedError, match="wants zfs, which the miniOS of red cannot make"):
        await planned(make_plan, store, text.replace("ext4", "zfs"))
    with pytest.raises(UsageError, match="for which debian:1 is no dd image"):
        await planned(make_plan, store, text, block_device="/dev/sdb")


@pytest.mark.parametrize("kind", [True], indirect=True)
@pytest.mark.usefixtures("kind")
async def test_what_brings_its_file_system_is_mounted_after(
    store: Store, make_plan: MakePlan, text: str
) -> None:
    plan = await planned(make_plan, store, text)
    assert steps(plan, 0)[-1] == "format_swap_part" and "format_deploy_part" not in steps(plan, 0)
    assert steps(plan, 1)[:2] == ["send_environment", "mount_deploy_part"]
    disk = await planned(make_plan, store, text, block_device="/dev/sdb")
    assert disk.clusters[0].facts.target.device == "/dev/sdb"


class Taken(Broadcast):
    """Gives the image to the consumer, on this machine."""

    async def run(self, delivery: Delivery, *_: object) -> Mapping[str, RelayResult]:
        content = delivery.image.path.read_bytes()
        for command in delivery.consumer:
            content = subprocess.run(command, input=content, stdout=subprocess.PIPE, check=True).stdout
        return {recipient.node: RelayResult() for recipient in delivery.recipients}


@pytest.mark.usefixtures("kind")
async def test_its_command_takes_the_image(
    store: Store, make_plan: MakePlan, text: str, tmp_path: Path
) -> None:
    workbench = workbench_of(await planned(make_plan, store, text), store)
    paths = workbench.facts.paths.model_copy(update={"rambin_dir": str(tmp_path / "ram")})
    workbench = replace(workbench, facts=replace(workbench.facts, paths=paths))
    ended: dict[str, object] = {}
    runs = [NodeRun(workbench.facts.nodes["red-1"], attempt=0)]
    await send_environment(workbench, runs, ended.__setitem__, GivenBroadcast(Taken()))
    assert ended == {"red-1": None}
    assert (tmp_path / "target").read_bytes() == b"a system"
    assert list((tmp_path / "ram").iterdir()) == []
