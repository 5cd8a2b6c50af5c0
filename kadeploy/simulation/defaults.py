# SPDX-License-Identifier: Apache-2.0
"""How micro-steps behave of which nobody knows anything: servers that take two minutes for their firmware."""

from __future__ import annotations

from kadeploy.simulation.distribution import Constant, Distribution, LogNormal
from kadeploy.simulation.file import BroadcastBehaviour

# Seconds. Both waits are a firmware and a kernel; kexec has no firmware.
DURATIONS: dict[str, Distribution] = {
    "switch_pxe": Constant(0.05),
    "reboot": LogNormal(2, 1.5),
    "wait_reboot": LogNormal(120, 1.15),
    "BootNewEnvKexec-wait_reboot": LogNormal(25, 1.2),
    "send_key_in_deploy_env": LogNormal(0.3, 1.3),
    "create_partition_table": LogNormal(2, 1.3),
    "format_deploy_part": LogNormal(3, 1.5),
    "format_tmp_part": LogNormal(5, 1.5),
    "format_swap_part": LogNormal(0.5, 1.3),
    "mount_deploy_part": LogNormal(0.3, 1.3),
    "umount_deploy_part": LogNormal(0.5, 1.5),
    "manage_admin_post_install": LogNormal(3, 1.3),
    "manage_user_post_install": LogNormal(3, 1.3),
    "check_kernel_files": LogNormal(0.3, 1.3),
    "send_key": LogNormal(0.3, 1.3),
    "install_bootloader": LogNormal(5, 1.3),
    "read_host_keys": LogNormal(0.3, 1.3),
    "sync": LogNormal(5, 1.5),
    "reboot_from_deploy_env": LogNormal(1, 1.3),
    "kexec": LogNormal(2, 1.3),
}
CUSTOM = LogNormal(3, 1.5)  # operations of users and administrators
HANGS = {"wait_reboot": 0.01}  # of hundred machines that are told to boot, one does not come
BROADCAST = BroadcastBehaviour(rate=50)


def duration(instance: str, micro: str) -> Distribution:
    """How long runs of a micro-step take."""
    return DURATIONS.get(f"{instance}-{micro}") or DURATIONS.get(micro) or CUSTOM


def hangs(micro: str) -> float:
    """Share of the runs that never end."""
    return HANGS.get(micro, 0.0)
