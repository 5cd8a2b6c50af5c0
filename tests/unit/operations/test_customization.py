# SPDX-License-Identifier: Apache-2.0
"""Custom operations among the micro-steps: their places, names, deadlines, restarts, and who counts."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from kadeploy import errors
from kadeploy.config.automata import MacroSteps, parse_force_steps
from kadeploy.config.custom_steps import CustomSteps
from kadeploy.config.site import Site
from kadeploy.config.yaml_file import parse_text
from kadeploy.environments import description
from kadeploy.errors import NotFoundError, RefusedError
from kadeploy.operations.deploy.operation_files import read, with_absolute_files
from kadeploy.operations.deploy.plan import DeploymentPlan, Planner
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.store.store import Store
from kadeploy.workflow.automaton import Instance, MicroStep
from tests.unit.operations.conftest import ENVIRONMENT, MakePlan

UNFIT = Path(__file__).parents[2] / "data" / "custom_steps" / "unfit.yaml"

# The operations of the administrator around sync, after his own micro-step settings.
ADMIN = """\
BroadcastEnv:
  - type: Chain
    microsteps:
      - name: sync
        retries: 3
        pre-ops: [{name: theirs, action: exec, command: "true"}]
        post-ops: [{name: last, action: exec, command: "true"}]
"""


def custom(text: str, origin: Path = Path("/srv/custom.yaml")) -> CustomSteps:
    return with_absolute_files(parse_text(text, "custom.yaml", CustomSteps), str(origin))


def exec_(name: str, **more: object) -> str:
    fields = "".join(f", {key}: {value}" for key, value in more.items())
    return f'{{name: {name}, action: exec, command: "true"{fields}}}'


def instance(plan: DeploymentPlan, name: str) -> Instance:
    macros = plan.clusters[0].automaton.macrosteps
    return next(i for macro in macros for i in macro.instances if i.name == name)


def steps(plan: DeploymentPlan, name: str) -> dict[str, MicroStep]:
    return {step.name: step for step in instance(plan, name).microsteps}


def around(names: list[str] | dict[str, MicroStep], micro: str) -> list[str]:
    return [name for name in names if name.partition("-")[0] == micro]


async def test_places_names_deadlines_and_retries(store: Store, make_plan: MakePlan) -> None:
    text = (
        f"BroadcastEnv: {{sync: {{pre-ops: [{exec_('a')}, {exec_('b', timeout='30 + n', retries=2)}],"
        f" post-ops: [{exec_('c')}]}}, check_kernel_files: {{substitute: [{exec_('d')}, {exec_('e')}]}}}}"
    )
    found = steps(await make_plan(store, "red-1", custom_steps=custom(text)), "BroadcastEnvChain")
    assert around(found, "sync") == ["sync-a", "sync-b", "sync", "sync-c"]
    assert around(found, "check_kernel_files") == ["check_kernel_files-d", "check_kernel_files-e"]
    assert [found["sync-a"].timeout.seconds(1), found["sync-b"].timeout.seconds(5)] == [600, 35]
    assert [found["sync-a"].retries, found["sync-b"].retries] == [0, 2]
    assert list(found).index("check_kernel_files-d") == list(found).index("send_environment") + 1


async def test_without_operations_nothing_is_different(store: Store, make_plan: MakePlan) -> None:
    plain, empty = await make_plan(store, "red-1"), await make_plan(store, "red-1", custom_steps=custom(""))
    assert plain.clusters[0].automaton == empty.clusters[0].automaton
    assert plain.fingerprint() == empty.fingerprint()


@pytest.mark.parametrize("name", ["BroadcastEnv", "BroadcastEnvKascade", "BroadcastEnvChain"])
async def test_names_of_the_chain(store: Store, make_plan: MakePlan, name: str) -> None:
    plan = await make_plan(
        store, "red-1", custom_steps=custom(f"{name}: {{sync: {{pre-ops: [{exec_('a')}]}}}}")
    )
    assert "sync-a" in steps(plan, "BroadcastEnvChain")


async def test_the_later_name_of_the_first_macro_step(store: Store, make_plan: MakePlan) -> None:
    text = f"SetDeploymentMiniOS: {{wait_reboot: {{post-ops: [{exec_('a')}]}}}}"
    found = list(
        steps(await make_plan(store, "red-1", custom_steps=custom(text)), "SetDeploymentEnvUntrusted")
    )
    assert found[:4] == ["switch_pxe", "reboot", "wait_reboot", "wait_reboot-a"]


async def test_an_instance_that_cannot_log_in_has_no_operations(store: Store, make_plan: MakePlan) -> None:
    text = f"BootNewEnv: {{switch_pxe: {{pre-ops: [{exec_('a')}]}}}}"
    plan = await make_plan(store, "red-1", custom_steps=custom(text))
    assert "switch_pxe-a" in steps(plan, "BootNewEnvClassical")
    assert "switch_pxe-a" not in steps(plan, "BootNewEnvHardReboot")


# Where a killed engine's successor begins ----------------------------------------------------------------


async def test_operations_begin_again_where_the_step_at_their_place_would(
    store: Store, make_plan: MakePlan, directory: Path, site: Site
) -> None:
    text = (
        f"BroadcastEnv: {{sync: {{pre-ops: [{exec_('a')}]}}, send_environment: {{pre-ops: [{exec_('b')}]}},"
        f" manage_user_post_install: {{pre-ops: [{exec_('c')}], post-ops: [{exec_('d')}]}}}}"
    )
    environment = with_post_install(directory)
    plan = await make_plan(store, "red-1", custom_steps=custom(text), environment=environment)
    restarts = {name: step.restart for name, step in steps(plan, "BroadcastEnvChain").items()}
    assert restarts["sync-a"] == "sync-a" and restarts["sync"] == "sync"
    assert restarts["send_environment"] == "send_environment"
    assert restarts["send_environment-b"] == "send_environment-b"
    post_install = around(list(restarts), "manage_user_post_install")
    assert len(post_install) == 3
    assert {restarts[name] for name in post_install} == {"send_environment-b"}


async def test_a_restart_at_a_substituted_step(store: Store, make_plan: MakePlan, directory: Path) -> None:
    text = f"BroadcastEnv: {{send_environment: {{substitute: [{exec_('mine')}]}}}}"
    plan = await make_plan(
        store, "red-1", custom_steps=custom(text), environment=with_post_install(directory)
    )
    found = steps(plan, "BroadcastEnvChain")
    assert found["manage_user_post_install"].restart == "send_environment-mine"


def with_post_install(directory: Path) -> Any:
    text = ENVIRONMENT.replace("IMAGE", str(directory / "image.tar.gz"))
    archive = f"{{archive: {directory}/image.tar.gz, compression: gzip, script: vmlinuz}}"
    return description.parse(f"{text}postinstalls: [{archive}]\n", "d.yaml").environment("root")


async def test_a_new_file_system_is_made_as_the_first_one(store: Store, make_plan: MakePlan) -> None:
    text = (
        f"SetDeploymentEnv: {{format_deploy_part: {{substitute: [{exec_('mkfs')}],"
        f" post-ops: [{exec_('tune')}]}}, create_partition_table: {{post-ops: [{exec_('not-this')}]}}}}"
    )
    plan = await make_plan(store, "red-1", custom_steps=custom(text))
    recipe = plan.clusters[0].recipes.macrosteps["SetDeploymentEnv"][0]
    made = {step.name: step.function for step in recipe.steps}
    renewal = ("format_deploy_part-mkfs", "format_deploy_part-tune", "mount_deploy_part")
    assert plan.clusters[0].recipes.renewal() == tuple(made[name] for name in renewal)


# The administrator's operations ---------------------------------------------------------------------------


def administrated(site: Site, text: str = ADMIN) -> Site:
    macrosteps = parse_text(text, "red.conf", MacroSteps)
    cluster = site.clusters["red"]
    automata = cluster.automata.model_copy(update={"macrosteps": macrosteps})
    return replace(site, clusters={**site.clusters, "red": cluster.model_copy(update={"automata": automata})})


async def plan_in(site: Site, store: Store, environment: Any, **settings: Any) -> DeploymentPlan:
    request = DeploymentRequest(user="alice", nodes=("red-1",), environment=environment, **settings)
    return await Planner(site, store, lambda *_: None).plan(request)


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        (None, ["sync-theirs", "sync", "sync-last"]),
        (f"pre-ops: [{exec_('mine')}]", ["sync-theirs", "sync-mine", "sync", "sync-last"]),
        (f"pre-ops: [{exec_('mine')}], override: true", ["sync-mine", "sync", "sync-last"]),
        ("pre-ops: [], override: true", ["sync", "sync-last"]),
        (f"substitute: [{exec_('mine')}], override: true", ["sync-theirs", "sync-mine", "sync-last"]),
        (f"pre-ops: [{exec_('theirs')}], override: true", ["sync-theirs", "sync", "sync-last"]),
    ],
)
async def test_override(
    site: Site, store: Store, environment: Any, lists: str | None, expected: list[str]
) -> None:
    wanted = custom(f"BroadcastEnv: {{sync: {{{lists}}}}}" if lists else "")
    plan = await plan_in(administrated(site), store, environment, custom_steps=wanted)
    found = steps(plan, "BroadcastEnvChain")
    assert around(found, "sync") == expected
    assert "sync" not in found or found["sync"].retries == 3


async def test_two_operations_of_one_name_are_refused(site: Site, store: Store, environment: Any) -> None:
    wanted = custom(f"BroadcastEnv: {{sync: {{post-ops: [{exec_('theirs')}]}}}}")
    with pytest.raises(RefusedError, match="2 operations that are called sync-theirs") as caught:
        await plan_in(administrated(site), store, environment, custom_steps=wanted)
    assert "override" in caught.value.hint


async def test_force_steps_replaces_the_administrators_operations(
    site: Site, store: Store, environment: Any
) -> None:
    automaton = parse_force_steps(
        "SetDeploymentEnv|SetDeploymentEnvUntrusted:0:9&BroadcastEnv|BroadcastEnvChain:0:9"
        "&BootNewEnv|BootNewEnvClassical:0:9"
    )
    plan = await plan_in(administrated(site), store, environment, automaton=automaton)
    assert around(steps(plan, "BroadcastEnvChain"), "sync") == ["sync"]


async def test_a_replaced_kexec_keeps_operations_and_loses_its_times(
    site: Site, store: Store, environment: Any
) -> None:
    text = (
        "BootNewEnv: [{type: Kexec, microsteps: [{name: wait_reboot, timeout: 7}, {name: kexec, retries: 1},"
        f" {{name: umount_deploy_part, pre-ops: [{exec_('a')}]}}]}}]"
    )
    plan = await plan_in(administrated(site, text), store, environment, kexec=False)
    found = steps(plan, "BootNewEnvClassical")
    assert list(found)[:3] == ["switch_pxe", "umount_deploy_part-a", "umount_deploy_part"]
    assert found["wait_reboot"].timeout.seconds(1) == 300
    kexec = await plan_in(administrated(site, text), store, environment)
    assert steps(kexec, "BootNewEnvKexec")["wait_reboot"].timeout.seconds(1) == 7


async def test_the_administrators_files_are_below_the_configuration(
    site: Site, store: Store, environment: Any, directory: Path
) -> None:
    (directory / "tune.sh").write_text("#!/bin/sh\n")
    operation = "{name: a, action: run, file: tune.sh}"
    text = f"BroadcastEnv: [{{type: Chain, microsteps: [{{name: sync, pre-ops: [{operation}]}}]}}]"
    plan = await plan_in(administrated(site, text), store, environment)
    assert "sync-a" in steps(plan, "BroadcastEnvChain")
    (directory / "tune.sh").write_bytes(b"#!/bin/sh\r\n")
    with pytest.raises(RefusedError, match=r"tune\.sh, which \S+-a runs, has line ends of Windows"):
        await plan_in(administrated(site, text), store, environment)
    (directory / "tune.sh").unlink()
    with pytest.raises(NotFoundError, match=r"tune.sh cannot be read"):
        await plan_in(administrated(site, text), store, environment)


# What is refused before a node is touched -----------------------------------------------------------------


@pytest.mark.parametrize("case", yaml.safe_load(UNFIT.read_text()), ids=lambda case: case["says"])
async def test_refused(store: Store, make_plan: MakePlan, case: dict[str, Any]) -> None:
    macro, micro = case.get("at", ("BroadcastEnv", "sync"))
    text = yaml.safe_dump({macro: {micro: {"pre-ops": [{"name": "a", **case["does"]}]}}})
    with pytest.raises(getattr(errors, case["error"])) as caught:
        await make_plan(store, "red-1", "red-2", custom_steps=custom(text))
    assert case["says"] in str(caught.value)


async def test_all_files_together_are_bounded(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x" * 600_000)
    names = [str(tmp_path / "a"), str(tmp_path / "b")]
    told: list[str] = []
    assert set(await read([names[0], names[0]], 1, told.append)) == {names[0]} == set(told)
    with pytest.raises(RefusedError, match="larger than 1 MB together"):
        await read(names, 1, told.append)


async def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    async with asyncio.timeout(5):
        with pytest.raises(NotFoundError, match="is not a file"):
            await read([str(tmp_path / "pipe")], 1, lambda _: None)


# What is kept ---------------------------------------------------------------------------------------------


async def test_the_stored_request_has_the_same_steps(
    store: Store, make_plan: MakePlan, environment: Any, tmp_path: Path
) -> None:
    (tmp_path / "fix.sh").write_text("#!/bin/sh\n")
    text = (
        f"BroadcastEnv: {{sync: {{pre-ops: [{exec_('a', timeout='9*n')}], post-ops: [], override: true}},"
        " check_kernel_files: {post-ops: [{name: b, action: run, file: fix.sh, params: '1 2'}]}}"
    )
    wanted = custom(text, tmp_path / "custom.yaml")
    request = DeploymentRequest(user="alice", nodes=("red-1",), environment=environment, custom_steps=wanted)
    again = DeploymentRequest.from_record(request.to_json(), "alice")
    assert again.custom_steps == wanted
    lists = again.custom_steps.root["BroadcastEnv"]["sync"]
    assert lists.gives("post-ops") and not lists.gives("substitute"), "an empty list overrides, too"
    assert (
        again.custom_steps.root["BroadcastEnv"]["check_kernel_files"].post_ops[0].file == f"{tmp_path}/fix.sh"
    )
    first = await make_plan(store, "red-1", custom_steps=wanted)
    second = await make_plan(store, "red-1", custom_steps=again.custom_steps)
    assert first.fingerprint() == second.fingerprint()


async def test_the_fingerprint_knows_what_is_done(store: Store, make_plan: MakePlan, tmp_path: Path) -> None:
    file, prints = tmp_path / "fix.sh", []
    operations = [
        "action: exec, command: 'true'",
        "action: exec, command: 'false'",
        "action: run, file: fix.sh",
        "action: run, file: fix.sh, params: x",
        "action: send, file: fix.sh, destination: /a",
        "action: send, file: fix.sh, destination: /b",
    ]
    for content in ("one", "two"):
        file.write_text(content)
        for operation in operations:
            text = f"BroadcastEnv: {{sync: {{pre-ops: [{{name: a, {operation}}}]}}}}"
            plan = await make_plan(store, "red-1", custom_steps=custom(text, tmp_path / "c.yaml"))
            prints.append(str(plan.fingerprint()))
    assert len(set(prints)) == 2 * len(operations) - 2, "only the commands are the same"
