# SPDX-License-Identifier: Apache-2.0
"""What may not change between a workflow's beginning and its resumption, and what the refusal says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kadeploy.config import site as configuration
from kadeploy.environments import environment as described
from kadeploy.environments.compression import Compression
from kadeploy.environments.environment import Environment
from kadeploy.errors import NotFoundError, RefusedError
from kadeploy.operations.deploy.plan import DeploymentPlan, Planner
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.fingerprint import NAMES, describe_changes
from kadeploy.operations.run.feed import Feed
from kadeploy.store import workflows
from kadeploy.store.store import Store
from tests.archives import write_archive
from tests.unit.operations.conftest import RESUMED, Script, resume_operation, run

FILES = {"cut.sh": "sfdisk", "boot.sh": "grub"}
ARCHIVES = {"post.tgz": "admin", "own.tgz": "user"}
SCRIPTS = """\
postinstall: {files: [{file: post.tgz, script: run}]}
"""
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

# What is changed, by the file and by the text in it, and what the refusal calls it.
CHANGES = [
    ("red.conf", "deploy, number: 3", "deploy, number: 2", "the partition layout of cluster red"),
    ("red.conf", "20GiB", "21GiB", "the partition layout of cluster red"),
    ("red.conf", "/dev/sda", "/dev/sdb", "the partition layout of cluster red"),
    ("red.conf", "quiet", "single", "the kernel command line of cluster red"),
    ("red.conf", "script: run", "script: walk", "a post-install of cluster red"),
    ("post.tgz", "admin", "other", "a post-install of cluster red"),
    ("own.tgz", "user", "other", "a post-install of cluster red, blue"),
    ("cut.sh", "sfdisk", "parted", "the partitioning script of cluster red"),
    ("boot.sh", "grub", "lilo", "the bootloader script of cluster red"),
    ("server.conf", "dhcp:", "dhcp: ", ""),
    ("red.conf", "remoteops: {reboot: [{name: hard", "remoteops: {reboot: [{name: soft", ""),
]


@pytest.fixture
def own(directory: Path, tmp_path: Path) -> Path:
    """A copy of the site whose red cluster has scripts and a post-install."""
    own = tmp_path / "own"
    own.mkdir()
    for path in directory.iterdir():
        (own / path.name).symlink_to(path)
    for name in ("server.conf", "red.conf"):
        (own / name).unlink()
        (own / name).write_text((directory / name).read_text())
    red = (own / "red.conf").read_text()
    red = red.replace("  layout:", "  script: cut.sh\n  layout:")
    red = red.replace("boot: {", "boot: {install_bootloader: boot.sh, ")
    (own / "red.conf").write_text(red + SCRIPTS)
    for name, text in FILES.items():
        (own / name).write_text(text)
    for name, text in ARCHIVES.items():
        write_post_install(own / name, text)
    return own


def write_post_install(path: Path, text: str) -> None:
    """Write an archive with two scripts of this text."""
    write_archive(path, {"run": text.encode(), "walk": text.encode()})


async def plan(directory: Path, store: Store, environment: Environment) -> DeploymentPlan:
    post_install = described.Archive(str(directory / "own.tgz"), Compression.GZIP)
    wanted = replace(environment, postinstalls=(post_install,))
    request = DeploymentRequest(
        user="alice", nodes=("red-1", "blue-1"), environment=wanted, breakpoints=("BroadcastEnv",)
    )
    return await Planner(configuration.load(directory), store, lambda *_: None).plan(request)


@pytest.mark.parametrize(("name", "old", "new", "called"), CHANGES)
async def test_changes_are_named(
    own: Path, store: Store, environment: Environment, name: str, old: str, new: str, called: str
) -> None:
    before = (await plan(own, store, environment)).fingerprint()
    if name in ARCHIVES:
        write_post_install(own / name, new)
    else:
        text = (own / name).read_text()
        assert old in text
        (own / name).write_text(text.replace(old, new))
    after = (await plan(own, store, environment)).fingerprint()
    assert describe_changes(before, after) == ([called] if called else [])


async def test_another_key_of_the_minios_is_named(own: Path, store: Store, environment: Environment) -> None:
    for name in ("red.conf", "blue.conf"):
        text = (own / name).read_text()
        assert "initrd: initrd}" in text
        (own / name).write_text(text.replace("initrd: initrd}", "initrd: initrd, host_key: host.pub}"))
    before = (await plan(own, store, environment)).fingerprint()
    (own / "host.pub").unlink()
    (own / "host.pub").write_text(OTHER_KEY)
    after = (await plan(own, store, environment)).fingerprint()
    assert after.keys() == NAMES.keys()
    assert describe_changes(before, after) == ["the host key of the miniOS of cluster red, blue"]


async def test_a_missing_script_is_no_plan(own: Path, store: Store, environment: Environment) -> None:
    (own / "boot.sh").unlink()
    with pytest.raises(NotFoundError, match=r"the bootloader script .*boot.sh cannot be read"):
        await plan(own, store, environment)


async def test_a_held_node_is_not_continued_on_another_layout(
    own: Path, store: Store, environment: Environment, script: type[Script]
) -> None:
    held = await run(script.operation(await plan(own, store, environment), store, Feed()))
    text = (own / "red.conf").read_text()
    (own / "red.conf").write_text(text.replace("deploy, number: 3", "deploy, number: 2"))
    again = script.operation(await plan(own, store, environment), store, Feed())
    workflow = await workflows.read(store, held.wid)
    with pytest.raises(RefusedError) as caught:
        await resume_operation(again, workflow, RESUMED)
    told = f"the partition layout of cluster red has changed since {held.wid} was begun"
    assert caught.value.message == told


def test_several_changes_and_topics_of_another_version() -> None:
    before = {"image": "1", "steps": {"red": ["a"], "blue": ["a"]}}
    now = {"image": "2", "steps": {"red": ["a"], "green": ["a"]}}
    steps = "the list of steps or a custom step of cluster blue, green"
    assert describe_changes(before, now) == ["the image", steps]
    assert describe_changes(before, {**now, "disk": {"red": "1"}}) == ["the version of kadeploy"]
