# SPDX-License-Identifier: Apache-2.0
"""Macro-steps of a deployment, with their instances and micro-steps.

Names and order are Kadeploy3's. ``read_host_keys`` is ours: it makes the last micro-step a proof.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from kadeploy.vocabulary.cause import Cause
from kadeploy.vocabulary.condition import Condition
from kadeploy.vocabulary.duration import Constant, LogNormal, Transmission
from kadeploy.vocabulary.instance import InstanceEntry, MacroStepEntry
from kadeploy.vocabulary.micro_step import ClusterTimeout, MicroStepEntry
from kadeploy.vocabulary.presence import Presence
from kadeploy.vocabulary.scope import Scope

SEND_ENVIRONMENT = "send_environment"

_in_minios = partial(MicroStepEntry, presence=Presence.ALWAYS)

_SWITCH_PXE = MicroStepEntry("switch_pxe", Cause.SERVICE, duration=Constant(0.05), needs_node=False)
_REBOOT = MicroStepEntry(
    "reboot",
    Cause.POWER,
    120,
    restart="switch_pxe",
    throttled=True,
    duration=LogNormal(2, 1.5),
    needs_node=False,
    restores_power=True,
)
# A firmware and a kernel. Of hundred machines that are told to boot, one does not come.
_WAIT_REBOOT = MicroStepEntry(
    "wait_reboot", Cause.REBOOT, ClusterTimeout.REBOOT, duration=LogNormal(120, 1.15), hangs=0.01
)
_MOUNT = _in_minios("mount_deploy_part", Cause.DISK)
_UMOUNT = _in_minios("umount_deploy_part", Cause.DISK, duration=LogNormal(0.5, 1.5))

_WAIT_FOR_SYSTEM = replace(_WAIT_REBOOT, settles=True)

_BOOT_MINIOS = (_SWITCH_PXE, _REBOOT, replace(_WAIT_REBOOT, presence=Presence.AFTER))

_PREPARE_DISK = (
    _in_minios("send_key_in_deploy_env", Cause.MINIOS, condition=Condition.KEYS),
    _in_minios(
        "create_partition_table",
        Cause.DISK,
        120,
        condition=Condition.PARTITIONED,
        duration=LogNormal(2, 1.3),
    ),
    _in_minios(
        "format_deploy_part",
        Cause.DISK,
        600,
        condition=Condition.FORMATTED,
        duration=LogNormal(3, 1.5),
        renews_target=True,
    ),
    replace(_MOUNT, condition=Condition.MOUNTED_BEFORE_BROADCAST, renews_target=True),
    _in_minios(
        "format_tmp_part",
        Cause.DISK,
        600,
        condition=Condition.TMP_FORMATTED,
        duration=LogNormal(5, 1.5),
    ),
    _in_minios(
        "format_swap_part",
        Cause.DISK,
        120,
        condition=Condition.SWAP_FORMATTED,
        duration=LogNormal(0.5, 1.3),
    ),
)

# A post-install that was broken off may not be run again on what it left: the image is unpacked anew.
_post_install = partial(
    _in_minios, cause=Cause.POST_INSTALL, timeout=600, restart=SEND_ENVIRONMENT, duration=LogNormal(3, 1.3)
)

_BROADCAST = (
    _in_minios(SEND_ENVIRONMENT, Cause.BROADCAST, 3600, Scope.SET, duration=Transmission()),
    replace(_MOUNT, condition=Condition.MOUNTED_AFTER_BROADCAST),
    _post_install("manage_admin_post_install", condition=Condition.ADMIN_POST_INSTALLS),
    _post_install("manage_user_post_install", condition=Condition.USER_POST_INSTALLS),
    _in_minios("check_kernel_files", Cause.ENVIRONMENT, condition=Condition.MOUNTABLE),
    _in_minios("send_key", Cause.DISK, condition=Condition.KEYS_ON_TARGET),
    _in_minios(
        "install_bootloader",
        Cause.BOOTLOADER,
        300,
        condition=Condition.BOOTLOADER,
        duration=LogNormal(5, 1.3),
    ),
    _in_minios("read_host_keys", Cause.ENVIRONMENT, proves_system=True),
    _in_minios("sync", Cause.DISK, 600, duration=LogNormal(5, 1.5)),
)

SET_DEPLOYMENT_ENV = MacroStepEntry(
    "SetDeploymentEnv",
    (
        InstanceEntry(
            "SetDeploymentEnvUntrusted",
            (*_BOOT_MINIOS, *_PREPARE_DISK),
            aliases=("SetDeploymentMiniOSUntrusted",),
        ),
    ),
    aliases=("SetDeploymentMiniOS",),  # as later versions of Kadeploy3 call it
)

BROADCAST_ENV = MacroStepEntry(
    "BroadcastEnv",
    (
        InstanceEntry("BroadcastEnvChain", _BROADCAST),
        # Kadeploy3 had two implementations of the chain.
        InstanceEntry("BroadcastEnvKastafior", _BROADCAST, same_as="BroadcastEnvChain"),
        InstanceEntry("BroadcastEnvKascade", _BROADCAST, same_as="BroadcastEnvChain"),
        InstanceEntry("BroadcastEnvTree", _BROADCAST),
        InstanceEntry("BroadcastEnvHttpPull", _BROADCAST),
        InstanceEntry("BroadcastEnvCustom", _BROADCAST, remark="where the administrator has given a command"),
    ),
)

BOOT_NEW_ENV = MacroStepEntry(
    "BootNewEnv",
    (
        InstanceEntry(
            "BootNewEnvClassical",
            (
                replace(_SWITCH_PXE, presence=Presence.ALWAYS),
                replace(_UMOUNT, condition=Condition.MOUNTABLE),
                MicroStepEntry(
                    "reboot_from_deploy_env",
                    Cause.REBOOT,
                    throttled=True,
                    presence=Presence.BEFORE,
                    duration=LogNormal(1, 1.3),
                ),
                _WAIT_FOR_SYSTEM,
            ),
            remark="reboot",
        ),
        InstanceEntry(
            "BootNewEnvKexec",
            (
                replace(_SWITCH_PXE, presence=Presence.ALWAYS),
                _UMOUNT,
                _MOUNT,
                MicroStepEntry(
                    "kexec",
                    Cause.KERNEL,
                    120,
                    throttled=True,
                    presence=Presence.BEFORE,
                    duration=LogNormal(2, 1.3),
                ),
                replace(_WAIT_FOR_SYSTEM, timeout=ClusterTimeout.KEXEC, duration=LogNormal(25, 1.2)),
            ),
            condition=Condition.KEXEC,
            otherwise="BootNewEnvClassical",
        ),
        # For nodes that do not answer: nobody knows which system they run.
        InstanceEntry(
            "BootNewEnvHardReboot", (_SWITCH_PXE, _REBOOT, _WAIT_FOR_SYSTEM), remark="through the BMC"
        ),
    ),
)

MACRO_STEPS = (SET_DEPLOYMENT_ENV, BROADCAST_ENV, BOOT_NEW_ENV)
