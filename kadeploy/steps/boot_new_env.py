# SPDX-License-Identifier: Apache-2.0
"""BootNewEnv: start the installed system and prove that it is the one which answers."""

from __future__ import annotations

from kadeploy.steps.binding import Binding
from kadeploy.steps.boot import (
    end_system,
    has_left_minios,
    reboot_hard,
    switch_pxe_local_disk,
    wait_kexec_deployed,
    wait_reboot_deployed,
)
from kadeploy.steps.broadcast_env import kernel_files
from kadeploy.steps.conditions import DEPLOYMENT
from kadeploy.steps.minios import check_boot
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.set_deployment_env import mount_deploy_part, umount_deploy_part
from kadeploy.steps.workbench import DeploymentWorkbench

KEXEC_LOAD_TIMEOUT = 60.0  # seconds to read kernel and initrd from a slow disk


async def switch_pxe_deployed(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Order the boot of the disk, unless the miniOS has become doubtful that has written it."""
    await check_boot(workbench, run)
    await switch_pxe_local_disk(workbench, run)


async def reboot_from_deploy_env(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Order the reboot in the miniOS: it has nothing to shut down, so at once."""
    if await has_left_minios(workbench, run):
        return
    await end_system(workbench, run, "reboot -f")


async def kexec(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Start the installed kernel from the miniOS, without the firmware's minutes."""
    if await has_left_minios(workbench, run):
        return
    await mount_deploy_part(workbench, run)  # where an engine was killed behind the umount below
    kernel, initrd = await kernel_files(workbench, run)
    argv = ["kexec", "-l", kernel, f"--command-line={kexec_params(workbench)}"]
    if initrd:
        argv.append(f"--initrd={initrd}")
    await workbench.remote.run(run.node.name, argv, timeout=KEXEC_LOAD_TIMEOUT)
    await umount_deploy_part(workbench, run)
    await end_system(workbench, run, "kexec -e")


def kexec_params(workbench: DeploymentWorkbench) -> str:
    """The kernel's parameters, with the root device put first where they name none (Kadeploy3)."""
    params = workbench.facts.kernel_params
    if any(param.startswith("root=") for param in params.split()):
        return params
    return f"root={workbench.facts.target.device} {params}".strip()


BINDINGS: tuple[Binding[DeploymentWorkbench], ...] = (
    Binding(
        "BootNewEnvClassical",
        {
            "switch_pxe": switch_pxe_deployed,
            "umount_deploy_part": umount_deploy_part,
            "reboot_from_deploy_env": reboot_from_deploy_env,
            "wait_reboot": wait_reboot_deployed,
        },
        conditions=DEPLOYMENT,
    ),
    Binding(
        "BootNewEnvKexec",
        {
            "switch_pxe": switch_pxe_deployed,
            "umount_deploy_part": umount_deploy_part,
            "mount_deploy_part": mount_deploy_part,
            "kexec": kexec,
            "wait_reboot": wait_kexec_deployed,
        },
        conditions=DEPLOYMENT,
    ),
    Binding(
        "BootNewEnvHardReboot",
        {
            "switch_pxe": switch_pxe_deployed,
            "reboot": reboot_hard,
            "wait_reboot": wait_reboot_deployed,
        },
    ),
)
