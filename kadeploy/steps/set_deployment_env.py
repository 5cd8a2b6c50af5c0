# SPDX-License-Identifier: Apache-2.0
"""SetDeploymentEnv: boot the RAM-only miniOS and prepare the disk."""

from __future__ import annotations

from collections.abc import Mapping

from kadeploy.disks import filesystems, partitioning
from kadeploy.disks.layout import Role
from kadeploy.steps import capacity, site_file
from kadeploy.steps.binding import Binding
from kadeploy.steps.boot import (
    COMMAND_TIMEOUT,
    reboot_soft,
)
from kadeploy.steps.conditions import DEPLOYMENT
from kadeploy.steps.image_tree import MINIOS_ROOT, append_keys
from kadeploy.steps.minios import check_boot, switch_pxe_minios, wait_for_certain_minios
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.partitions import update_partitions
from kadeploy.steps.step import NodeFunction
from kadeploy.steps.workbench import DeploymentWorkbench
from kadeploy.vocabulary.cause import Cause

FORMAT_TIMEOUT = 600.0  # seconds: mkfs of a large slow disk
# Lazily where something still uses it (Kadeploy3): a post-install may leave mounts and daemons there.
UMOUNT = 'if mountpoint -q "$1"; then umount -R "$1" || { sync; umount -R -l "$1"; }; fi'


async def wait_reboot_deploy_env(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Wait for the miniOS of the boot that was ordered."""
    await wait_for_certain_minios(workbench, run, reboot_soft)


async def send_key_in_deploy_env(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Let the user into the miniOS."""
    await check_boot(workbench, run)
    await append_keys(workbench, run, workbench.facts.options.keys, MINIOS_ROOT, Cause.MINIOS)


async def create_partition_table(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Write the cluster's layout, or run the cluster's own script."""
    if workbench.facts.makes_target:
        await capacity.check(workbench, run)
    await workbench.remember(run.node, erased=True)
    script = workbench.facts.partitioning_script
    if script is not None:
        await check_boot(workbench, run)
        text = await site_file.read(workbench, script, "partitioning script")
        variables = workbench.facts.variables(run.node)
        await workbench.remote.run_script(run.node.name, text, [], env=variables, timeout=FORMAT_TIMEOUT)
        await update_partitions(workbench, run, devices=[workbench.facts.target.device])
        return
    command = partitioning.create_partition_table(workbench.facts.layout, workbench.facts.extraction_dir)
    await workbench.remote.run(run.node.name, command.arguments, input=command.input, timeout=COMMAND_TIMEOUT)


async def format_deploy_part(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Make the environment's file system on the target partition."""
    if not workbench.facts.makes_target:
        await capacity.check(workbench, run)
    await _format(workbench, run, workbench.facts.environment.filesystem, workbench.facts.target.device)
    await workbench.remember(run.node, written=False)


async def renew_deploy_part(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Make the file system again: what a broken-off unpacking left there is nobody's image."""
    assert workbench.renewal, "a plan gives it"
    await umount_deploy_part(workbench, run)
    for step in workbench.renewal:
        await step(workbench, run)
    await workbench.remember(run.node, written=False)


async def umount_deploy_part(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Leave the file system clean."""
    argv = ["sh", "-c", UMOUNT, "sh", workbench.facts.extraction_dir]
    await workbench.remote.run(run.node.name, argv, timeout=COMMAND_TIMEOUT)


async def format_tmp_part(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Make the file system that -r asks for on the tmp partition."""
    await _format(
        workbench, run, workbench.facts.options.reformat_tmp, workbench.facts.layout.device(Role.TMP)
    )


async def format_swap_part(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Make the swap area."""
    await _format(workbench, run, "swap", workbench.facts.layout.device(Role.SWAP))


async def _format(workbench: DeploymentWorkbench, run: NodeRun, filesystem: str, device: str | None) -> None:
    assert device is not None, "the step applies only where the layout has the partition"
    await workbench.remember(run.node, erased=True)
    argv = filesystems.mkfs_command(filesystem, device)

    def follow(progress: filesystems.MkfsProgress) -> None:
        run.observed = f"mkfs was at {progress.done}/{progress.total} of {progress.phase}"

    await workbench.remote.run(
        run.node.name, argv, timeout=FORMAT_TIMEOUT, on_output=filesystems.MkfsOutput(follow)
    )


async def mount_deploy_part(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Mount the target partition where the image is unpacked."""
    mount = 'mkdir -p "$2" && { mountpoint -q "$2" || mount "$1" "$2"; }'
    argv = ["sh", "-c", mount, "sh", workbench.facts.target.device, workbench.facts.extraction_dir]
    await workbench.remote.run(run.node.name, argv, timeout=COMMAND_TIMEOUT)


PREPARE_DISK: Mapping[str, NodeFunction[DeploymentWorkbench]] = {
    "send_key_in_deploy_env": send_key_in_deploy_env,
    "create_partition_table": create_partition_table,
    "format_deploy_part": format_deploy_part,
    "mount_deploy_part": mount_deploy_part,
    "format_tmp_part": format_tmp_part,
    "format_swap_part": format_swap_part,
}

BINDINGS: tuple[Binding[DeploymentWorkbench], ...] = (
    Binding(
        "SetDeploymentEnvUntrusted",
        {
            "switch_pxe": switch_pxe_minios,
            "reboot": reboot_soft,
            "wait_reboot": wait_reboot_deploy_env,
            **PREPARE_DISK,
        },
        conditions=DEPLOYMENT,
    ),
)
