# SPDX-License-Identifier: Apache-2.0
"""Which micro-steps run: the table of bypassed steps, kexec's conditions, breakpoints."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kadeploy.config import site as configuration
from kadeploy.config.automata import parse_force_steps
from kadeploy.config.site import Site
from kadeploy.config.verification import Verification
from kadeploy.environments.environment import Environment, Image, System
from kadeploy.errors import RefusedError, UsageError
from kadeploy.operations.deploy.plan import DeploymentPlan
from kadeploy.operations.minios import read_shared_key
from kadeploy.store.store import Store
from kadeploy.vocabulary.names import MACRO_STEP_NAMES
from kadeploy.vocabulary.scope import Scope
from tests.unit.operations.conftest import MakePlan

KEXEC = (
    "SetDeploymentEnv|SetDeploymentEnvUntrusted:0:9&BroadcastEnv|BroadcastEnvKascade:0:9"
    "&BootNewEnv|BootNewEnvKexec:0:9"
)


def steps(plan: DeploymentPlan) -> list[str]:
    """All micro-steps of the first instances."""
    macros = plan.clusters[0].automaton.macrosteps
    return [step.name for macro in macros for step in macro.instances[0].microsteps]


def dd(environment: Environment, **changes: Any) -> Environment:
    image = Image(
        environment.image.file.replace("image.tar.gz", "disk.gz"), "dd", environment.image.compression
    )
    return replace(environment, image=image, **changes)


async def test_every_step_of_a_full_tar_deployment(store: Store, make_plan: MakePlan) -> None:
    plan = await make_plan(store, "red-1", keys="ssh-ed25519 A", reformat_tmp="ext3")
    assert steps(plan) == [
        *("switch_pxe", "reboot", "wait_reboot", "send_key_in_deploy_env", "create_partition_table"),
        *("format_deploy_part", "mount_deploy_part", "format_tmp_part", "format_swap_part"),
        *(
            "send_environment",
            "check_kernel_files",
            "send_key",
            "install_bootloader",
            "read_host_keys",
            "sync",
        ),
        *("switch_pxe", "umount_deploy_part", "reboot_from_deploy_env", "wait_reboot"),
    ]


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({}, {"send_key", "send_key_in_deploy_env", "format_tmp_part"}),
        ({"partition_disks": False}, {"create_partition_table"}),
        ({"install_bootloader": False}, {"install_bootloader"}),
        ({"partition": 1}, {"format_swap_part"}),
        ({"partition": 5, "reformat_tmp": "ext4"}, {"format_tmp_part"}),
    ],
)
async def test_bypassed(
    store: Store, make_plan: MakePlan, settings: dict[str, Any], missing: set[str]
) -> None:
    assert not missing & set(steps(await make_plan(store, "red-1", **settings)))


async def test_dd_images_are_mounted_after_they_were_written(
    store: Store, make_plan: MakePlan, environment: Environment
) -> None:
    found = steps(await make_plan(store, "red-1", environment=dd(environment)))
    assert "format_deploy_part" not in found
    assert found.index("mount_deploy_part") > found.index("send_environment")


async def test_an_image_that_the_minios_cannot_mount(
    store: Store, make_plan: MakePlan, environment: Environment
) -> None:
    found = steps(await make_plan(store, "red-1", environment=dd(environment, filesystem="ufs")))
    assert not {"mount_deploy_part", "check_kernel_files", "install_bootloader"} & set(found)
    assert "read_host_keys" in found, "the proof is not bypassed"


async def test_a_whole_disk_is_neither_partitioned_nor_formatted(
    store: Store, make_plan: MakePlan, environment: Environment
) -> None:
    found = steps(await make_plan(store, "red-1", environment=dd(environment), block_device="/dev/sdb"))
    assert not {"create_partition_table", "format_swap_part", "mount_deploy_part"} & set(found)


@pytest.mark.parametrize(
    ("changes", "kexec", "instance"),
    [
        ({}, True, "BootNewEnvKexec"),
        ({}, False, "BootNewEnvClassical"),
        ({"os": System.OTHER}, True, "BootNewEnvClassical"),
    ],
)
async def test_kexec_needs_linux_and_consent(
    store: Store,
    make_plan: MakePlan,
    environment: Environment,
    changes: dict[str, Any],
    kexec: bool,
    instance: str,
) -> None:
    plan = await make_plan(
        store,
        "red-1",
        environment=replace(environment, **changes),
        automaton=parse_force_steps(KEXEC),
        kexec=kexec,
    )
    assert plan.clusters[0].automaton.macrosteps[2].instances[0].name == instance


@pytest.mark.parametrize(
    "text",
    [
        "BroadcastEnv",
        "BroadcastEnvChain",
        "BroadcastEnvKastafior",
        "BroadcastEnvKascade:sync",
        "BootNewEnv:switch_pxe",
    ],
)
async def test_breakpoints(store: Store, make_plan: MakePlan, text: str) -> None:
    plan = await make_plan(store, "red-1", breakpoints=(text,))
    macros = plan.clusters[0].automaton.macrosteps
    held = [(m.name, s.name) for m in macros for s in m.instances[0].microsteps if s.breakpoint]
    macro = next(name for name in MACRO_STEP_NAMES if text.startswith(name))
    first = "switch_pxe" if macro == "BootNewEnv" else "send_environment"
    assert (macro, text.partition(":")[2] or first) in held


async def test_several_breakpoints(store: Store, make_plan: MakePlan) -> None:
    plan = await make_plan(
        store, "red-1", breakpoints=("BroadcastEnv:sync", "BootNewEnv"), hold_failures=True
    )
    automaton = plan.clusters[0].automaton
    held = [s.name for m in automaton.macrosteps for i in m.instances for s in i.microsteps if s.breakpoint]
    assert held[:2] == ["sync", "switch_pxe"] and automaton.hold_failures


async def test_a_breakpoint_on_a_bypassed_step_is_refused(store: Store, make_plan: MakePlan) -> None:
    with pytest.raises(UsageError, match="does not run 'send_key'") as caught:
        await make_plan(store, "red-1", breakpoints=("BroadcastEnv:send_key",))
    assert caught.value.hint == "it is bypassed; the next one that runs is install_bootloader"


async def test_clusters_have_automata_of_their_own(store: Store, make_plan: MakePlan) -> None:
    plan = await make_plan(store, "blue-2", "red-1", "blue-1")
    assert [(part.cluster, part.nodes) for part in plan.clusters] == [
        ("blue", ("blue-2", "blue-1")),
        ("red", ("red-1",)),
    ]


async def test_a_system_has_time_to_go_on_answering(
    store: Store, make_plan: MakePlan, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk would be erased in vain where the deadline comes before the system has answered long enough."""
    cluster = site.clusters["red"]
    monkeypatch.setitem(site.clusters, "red", cluster.model_copy(update={"verify": Verification(settle=120)}))
    await make_plan(store, "red-1")
    with pytest.raises(RefusedError, match=r"wait_reboot of BootNewEnvKexec has 120 s.* for 120 s"):
        await make_plan(store, "red-1", automaton=parse_force_steps(KEXEC))


async def test_every_step_has_a_deadline(store: Store, make_plan: MakePlan) -> None:
    plan = await make_plan(store, "red-1", keys="k", reformat_tmp="ext4", automaton=parse_force_steps(KEXEC))
    for macro in plan.clusters[0].automaton.macrosteps:
        for instance in macro.instances:
            for step in instance.microsteps:
                assert step.timeout.seconds(1) > 0, f"{instance.name}-{step.name} may wait for ever"
                assert (step.scope is Scope.SET) == (step.name == "send_environment")
                assert step.restart in [other.name for other in instance.microsteps]


async def test_what_the_miniOS_cannot_make_is_refused(
    store: Store, make_plan: MakePlan, environment: Environment
) -> None:
    with pytest.raises(RefusedError, match="btrfs"):
        await make_plan(store, "red-1", environment=replace(environment, filesystem="btrfs"))


async def test_the_variables_of_scripts(store: Store, make_plan: MakePlan) -> None:
    plan = await make_plan(store, "red-2", partition=5)
    deployment = plan.clusters[0].facts
    variables = deployment.variables(plan.nodes[0])
    assert variables["KADEPLOY_NODE"] == "red-2" and variables["KADEPLOY_CLUSTER"] == "red"
    assert variables["KADEPLOY_DEPLOY_PART"] == "/dev/sda5" and variables["KADEPLOY_DEPLOY_PART_NUM"] == "5"
    assert variables["KADEPLOY_SWAP_PART"] == "/dev/sda1" and variables["KADEPLOY_SWAP_PART_NUM"] == "1"
    assert variables["KADEPLOY_ENV_KERNEL_PARAMS"] == "quiet console=ttyS0"


async def test_the_variables_are_those_of_the_manual(store: Store, make_plan: MakePlan) -> None:
    plan = await make_plan(store, "red-1")
    page = Path(__file__).parents[3] / "docs" / "users" / "post-installs.md"
    documented = re.findall(r"^\| `(KADEPLOY_\w+)` \|", page.read_text(), flags=re.MULTILINE)
    assert sorted(documented) == sorted(plan.clusters[0].facts.variables(plan.nodes[0]))


def test_the_fixed_key_of_a_minios_is_as_it_answers(directory: Path) -> None:
    """Without the comment of its file, or no node would ever be seen to run the miniOS."""
    words = (directory / "host.pub").read_text().split()
    assert len(words) == 3, "the file has a comment"
    red = (directory / "red.conf").read_text()
    (directory / "red.conf").write_text(red.replace("initrd: initrd}", "initrd: initrd, host_key: host.pub}"))
    try:
        assert read_shared_key(configuration.load(directory), "red") == " ".join(words[:2])
    finally:
        (directory / "red.conf").write_text(red)
