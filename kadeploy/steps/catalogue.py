# SPDX-License-Identifier: Apache-2.0
"""Which micro-steps each instance is made of, in order, and when one of them is bypassed.

The names and their order are Kadeploy3's. ``read_host_keys`` is ours: it makes the last step a proof.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from kadeploy.config.expression import Expression
from kadeploy.disks.layout import Role
from kadeploy.steps import (
    boot,
    boot_new_env,
    broadcast_env,
    broadcasts,
    power,
    reboot,
    set_deployment_env,
)
from kadeploy.steps.broadcast_env import Ended
from kadeploy.steps.deployment import DeploymentWorkbench
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.power import PowerWorkbench
from kadeploy.steps.reboot import RebootWorkbench
from kadeploy.steps.workbench import Workbench
from kadeploy.vocabulary.cause import Cause

Context = TypeVar("Context", bound=Workbench, contravariant=True)

# One node's way through a micro-step; raises KadeployError where the node has failed.
NodeStep = Callable[[Context, NodeRun], Awaitable[None]]
SetStep = Callable[[Context, Sequence[NodeRun], Ended], Awaitable[None]]
Condition = Callable[[Context], bool]


@dataclass(frozen=True, slots=True)
class Step(Generic[Context]):
    """A micro-step: the cause of its failures as a rule, what runs it, its deadline, and when it applies.

    ``Context`` is what the steps of its kind of operation share.

    Exactly one of ``node`` and ``together`` is given. ``timeout`` is an expression of seconds, or the
    name of one of the cluster's timeouts. ``restart``: the step from which it is redone when the engine was
    killed in it, itself where '' is given. ``throttled``: it counts in the window of reboots. ``retries``
    are attempts after the first, where the cluster's file has none. ``around``: the micro-step around which
    a custom operation is, '' for a step of the catalogue.
    """

    name: str
    cause: Cause
    node: NodeStep[Context] | None = None
    together: SetStep[Context] | None = None
    timeout: str = "60"
    restart: str = ""
    throttled: bool = False
    retries: int = 0
    applies: Condition[Context] = lambda workbench: True
    around: str = ""

    @property
    def micro(self) -> str:
        """The micro-step of the catalogue: itself, or the one around which a custom operation is."""
        return self.around or self.name

    def deadline(self, workbench: Workbench) -> Expression:
        """The step's timeout on a cluster."""
        timeouts = {"reboot": workbench.cluster.timeouts.reboot, "kexec": workbench.cluster.timeouts.kexec}
        return timeouts.get(self.timeout) or Expression(self.timeout)


def _has_keys(workbench: DeploymentWorkbench) -> bool:
    return bool(workbench.options.keys)


def _partitions(workbench: DeploymentWorkbench) -> bool:
    return workbench.partitioned


def _formats(workbench: DeploymentWorkbench) -> bool:
    return not workbench.environment.image_kind.brings_file_system


def _mounts_before_broadcast(workbench: DeploymentWorkbench) -> bool:
    return workbench.mountable and _formats(workbench)


def _mounts_after_broadcast(workbench: DeploymentWorkbench) -> bool:
    return workbench.mountable and not _formats(workbench)


def _formats_tmp(workbench: DeploymentWorkbench) -> bool:
    return Role.TMP in workbench.reformatted


def _formats_swap(workbench: DeploymentWorkbench) -> bool:
    return Role.SWAP in workbench.reformatted


def _installs_bootloader(workbench: DeploymentWorkbench) -> bool:
    return workbench.mountable and workbench.options.install_bootloader


_UNTRUSTED: tuple[Step[DeploymentWorkbench], ...] = (
    Step("switch_pxe", Cause.SERVICE, boot.switch_pxe_minios),
    Step("reboot", Cause.POWER, boot.reboot_soft, timeout="120", restart="switch_pxe", throttled=True),
    Step("wait_reboot", Cause.REBOOT, boot.wait_reboot_minios, timeout="reboot"),
    Step(
        "send_key_in_deploy_env", Cause.MINIOS, set_deployment_env.send_key_in_deploy_env, applies=_has_keys
    ),
    Step(
        "create_partition_table",
        Cause.DISK,
        set_deployment_env.create_partition_table,
        timeout="120",
        applies=_partitions,
    ),
    Step(
        "format_deploy_part",
        Cause.DISK,
        set_deployment_env.format_deploy_part,
        timeout="600",
        applies=_formats,
    ),
    Step(
        "mount_deploy_part",
        Cause.DISK,
        set_deployment_env.mount_deploy_part,
        applies=_mounts_before_broadcast,
    ),
    Step(
        "format_tmp_part", Cause.DISK, set_deployment_env.format_tmp_part, timeout="600", applies=_formats_tmp
    ),
    Step(
        "format_swap_part",
        Cause.DISK,
        set_deployment_env.format_swap_part,
        timeout="120",
        applies=_formats_swap,
    ),
)

# A post-install that was broken off may not be run again on what it left: the image is unpacked anew.
_AFTER_BROADCAST: tuple[Step[DeploymentWorkbench], ...] = (
    Step(
        "mount_deploy_part", Cause.DISK, set_deployment_env.mount_deploy_part, applies=_mounts_after_broadcast
    ),
    Step(
        "manage_admin_post_install",
        Cause.POST_INSTALL,
        broadcast_env.manage_admin_post_install,
        timeout="600",
        restart="send_environment",
        applies=lambda workbench: workbench.mountable and bool(workbench.admin_archives),
    ),
    Step(
        "manage_user_post_install",
        Cause.POST_INSTALL,
        broadcast_env.manage_user_post_install,
        timeout="600",
        restart="send_environment",
        applies=lambda workbench: workbench.mountable and bool(workbench.user_archives),
    ),
    Step(
        "check_kernel_files",
        Cause.ENVIRONMENT,
        broadcast_env.check_kernel_files,
        applies=lambda workbench: workbench.mountable,
    ),
    Step(
        "send_key",
        Cause.DISK,
        broadcast_env.send_key,
        applies=lambda workbench: workbench.mountable and _has_keys(workbench),
    ),
    Step(
        "install_bootloader",
        Cause.BOOTLOADER,
        broadcast_env.install_bootloader,
        timeout="300",
        applies=_installs_bootloader,
    ),
    Step("read_host_keys", Cause.ENVIRONMENT, broadcast_env.read_host_keys),
    Step("sync", Cause.DISK, broadcast_env.sync, timeout="600"),
)


def _broadcast_env(way: broadcasts.Way) -> tuple[Step[DeploymentWorkbench], ...]:
    """The same steps, however the image comes to the nodes."""
    send = partial(broadcast_env.send_environment, way=way)
    return (
        Step("send_environment", Cause.BROADCAST, together=send, timeout="3600"),
        *_AFTER_BROADCAST,
    )


_CHAIN = _broadcast_env(broadcasts.chain)

_CLASSICAL: tuple[Step[DeploymentWorkbench], ...] = (
    Step("switch_pxe", Cause.SERVICE, boot.switch_pxe_local_disk),
    Step(
        "umount_deploy_part",
        Cause.DISK,
        set_deployment_env.umount_deploy_part,
        applies=lambda workbench: workbench.mountable,
    ),
    Step("reboot_from_deploy_env", Cause.REBOOT, boot_new_env.reboot_from_deploy_env, throttled=True),
    Step("wait_reboot", Cause.REBOOT, boot.wait_reboot_deployed, timeout="reboot"),
)

_KEXEC: tuple[Step[DeploymentWorkbench], ...] = (
    Step("switch_pxe", Cause.SERVICE, boot.switch_pxe_local_disk),
    Step("umount_deploy_part", Cause.DISK, set_deployment_env.umount_deploy_part),
    Step("mount_deploy_part", Cause.DISK, set_deployment_env.mount_deploy_part),
    Step("kexec", Cause.KERNEL, boot_new_env.kexec, timeout="120", throttled=True),
    Step("wait_reboot", Cause.REBOOT, boot.wait_kexec_deployed, timeout="kexec"),
)

_HARD_REBOOT: tuple[Step[DeploymentWorkbench], ...] = (
    Step("switch_pxe", Cause.SERVICE, boot.switch_pxe_local_disk),
    Step("reboot", Cause.POWER, boot.reboot_hard, timeout="120", restart="switch_pxe", throttled=True),
    Step("wait_reboot", Cause.REBOOT, boot.wait_reboot_deployed, timeout="reboot"),
)

STEPS: dict[str, tuple[Step[DeploymentWorkbench], ...]] = {
    "SetDeploymentEnvUntrusted": _UNTRUSTED,
    "BroadcastEnvChain": _CHAIN,
    "BroadcastEnvKastafior": _CHAIN,
    "BroadcastEnvKascade": _CHAIN,
    "BroadcastEnvTree": _broadcast_env(broadcasts.tree),
    "BroadcastEnvHttpPull": _broadcast_env(broadcasts.http_pull),
    "BroadcastEnvCustom": _broadcast_env(broadcasts.custom),
    "BootNewEnvClassical": _CLASSICAL,
    "BootNewEnvKexec": _KEXEC,
    "BootNewEnvHardReboot": _HARD_REBOOT,
}


# Reboots and power -------------------------------------------------------------------------------------

# Nobody can tell later whether a node that answers has gone down meanwhile: a reboot is ordered again.
_ORDER: Step[RebootWorkbench] = Step(
    "reboot", Cause.POWER, reboot.order_reboot, timeout="120", throttled=True
)
_WAIT = Step("wait_reboot", Cause.REBOOT, reboot.wait_reboot_disk, timeout="reboot", restart="reboot")

REBOOTS: dict[str, tuple[Step[RebootWorkbench], ...]] = {
    "RebootSimple": (_ORDER, _WAIT),
    "RebootSetPXE": (
        Step("switch_pxe", Cause.SERVICE, reboot.switch_pxe_given),
        _ORDER,
        Step("wait_reboot", Cause.REBOOT, reboot.wait_reboot_any, timeout="reboot", restart="reboot"),
    ),
    "RebootDeployEnv": (
        Step("switch_pxe", Cause.SERVICE, boot.switch_pxe_minios),
        _ORDER,
        Step("wait_reboot", Cause.REBOOT, boot.wait_reboot_minios, timeout="reboot"),
        Step(
            "send_key_in_deploy_env",
            Cause.MINIOS,
            reboot.send_key_in_deploy_env,
            applies=lambda workbench: bool(workbench.keys),
        ),
    ),
    "RebootRecordedEnv": (Step("switch_pxe", Cause.SERVICE, boot.switch_pxe_local_disk), _ORDER, _WAIT),
}

POWER: dict[str, tuple[Step[PowerWorkbench], ...]] = {
    "PowerOn": (Step("power_on", Cause.POWER, power.power_on, timeout="120", throttled=True),),
    "PowerOff": (Step("power_off", Cause.POWER, power.power_off, timeout="120", throttled=True),),
    "PowerStatus": (Step("power_status", Cause.POWER, power.power_status),),
}
