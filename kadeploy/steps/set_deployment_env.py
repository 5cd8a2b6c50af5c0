# SPDX-License-Identifier: Apache-2.0
"""SetDeploymentEnv: boot the RAM-only miniOS and prepare the disk."""

from __future__ import annotations

from kadeploy.disks import filesystems, partitioning
from kadeploy.disks.layout import Role
from kadeploy.steps import site_file
from kadeploy.steps.boot import COMMAND_TIMEOUT, append_keys
from kadeploy.steps.deployment import Deployment
from kadeploy.steps.node_run import NodeRun

FORMAT_TIMEOUT = 600.0  # seconds: mkfs of a large slow disk
# Lazily where something still uses it (Kadeploy3): a post-install may leave mounts and daemons there.
UMOUNT = 'if mountpoint -q "$1"; then umount -R "$1" || { sync; umount -R -l "$1"; }; fi'


async def send_key_in_deploy_env(deployment: Deployment, run: NodeRun) -> None:
    """Let the user into the miniOS."""
    await append_keys(deployment, run, deployment.options.keys, "/root/.ssh")


async def create_partition_table(deployment: Deployment, run: NodeRun) -> None:
    """Write the cluster's layout, or run the cluster's own script."""
    await deployment.remember(run.node, erased=True)
    script = deployment.cluster.partitioning.script
    if script is not None:
        text = await site_file.read(deployment.site.path(script), "partitioning script")
        variables = deployment.variables(run.node)
        await deployment.remote.run_script(run.node.name, text, [], env=variables, timeout=FORMAT_TIMEOUT)
        return
    command = partitioning.create_partition_table(deployment.layout, deployment.extraction_dir)
    await deployment.remote.run(
        run.node.name, command.arguments, input=command.input, timeout=COMMAND_TIMEOUT
    )


async def format_deploy_part(deployment: Deployment, run: NodeRun) -> None:
    """Make the environment's file system on the target partition."""
    await _format(deployment, run, deployment.environment.filesystem, deployment.target.device)
    await deployment.remember(run.node, written=False)


async def renew_deploy_part(deployment: Deployment, run: NodeRun) -> None:
    """Make the file system again: what a broken-off unpacking left there is nobody's image."""
    assert deployment.renewal, "a plan gives it"
    await umount_deploy_part(deployment, run)
    for step in deployment.renewal:
        await step(deployment, run)
    await deployment.remember(run.node, written=False)


async def umount_deploy_part(deployment: Deployment, run: NodeRun) -> None:
    """Leave the file system clean."""
    argv = ["sh", "-c", UMOUNT, "sh", deployment.extraction_dir]
    await deployment.remote.run(run.node.name, argv, timeout=COMMAND_TIMEOUT)


async def format_tmp_part(deployment: Deployment, run: NodeRun) -> None:
    """Make the file system that -r asks for on the tmp partition."""
    await _format(deployment, run, deployment.options.reformat_tmp, deployment.layout.device(Role.TMP))


async def format_swap_part(deployment: Deployment, run: NodeRun) -> None:
    """Make the swap area."""
    await _format(deployment, run, "swap", deployment.layout.device(Role.SWAP))


async def _format(deployment: Deployment, run: NodeRun, filesystem: str, device: str | None) -> None:
    assert device is not None, "the step applies only where the layout has the partition"
    await deployment.remember(run.node, erased=True)
    argv = filesystems.mkfs_command(filesystem, device)

    def follow(progress: filesystems.MkfsProgress) -> None:
        run.observed = f"mkfs was at {progress.done}/{progress.total} of {progress.phase}"

    await deployment.remote.run(
        run.node.name, argv, timeout=FORMAT_TIMEOUT, on_output=filesystems.MkfsOutput(follow)
    )


async def mount_deploy_part(deployment: Deployment, run: NodeRun) -> None:
    """Mount the target partition where the image is unpacked."""
    mount = 'mkdir -p "$2" && { mountpoint -q "$2" || mount "$1" "$2"; }'
    argv = ["sh", "-c", mount, "sh", deployment.target.device, deployment.extraction_dir]
    await deployment.remote.run(run.node.name, argv, timeout=COMMAND_TIMEOUT)
