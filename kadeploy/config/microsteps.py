# SPDX-License-Identifier: Apache-2.0
"""The micro-steps of each instance as files may name them, and where custom operations can be put.

The steps themselves are in ``kadeploy.steps.catalogue``; a test compares the names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Flag, auto
from typing import Any

from kadeploy.config.custom_operations import LISTS, List
from kadeploy.config.problems import Problem
from kadeploy.config.yaml_file import KEY


class Presence(Flag):
    """When a node is in the miniOS, the one system in which the engine runs commands."""

    NEVER = 0
    BEFORE = auto()
    AFTER = auto()
    ALWAYS = BEFORE | AFTER


_UNTRUSTED = {
    "switch_pxe": Presence.NEVER,
    "reboot": Presence.NEVER,
    "wait_reboot": Presence.AFTER,
    "send_key_in_deploy_env": Presence.ALWAYS,
    "create_partition_table": Presence.ALWAYS,
    "format_deploy_part": Presence.ALWAYS,
    "mount_deploy_part": Presence.ALWAYS,
    "format_tmp_part": Presence.ALWAYS,
    "format_swap_part": Presence.ALWAYS,
}

_CHAIN = {
    "send_environment": Presence.ALWAYS,
    "mount_deploy_part": Presence.ALWAYS,
    "manage_admin_post_install": Presence.ALWAYS,
    "manage_user_post_install": Presence.ALWAYS,
    "check_kernel_files": Presence.ALWAYS,
    "send_key": Presence.ALWAYS,
    "install_bootloader": Presence.ALWAYS,
    "read_host_keys": Presence.ALWAYS,
    "sync": Presence.ALWAYS,
}

MICRO_STEPS: dict[str, dict[str, Presence]] = {
    "SetDeploymentEnvUntrusted": _UNTRUSTED,
    "BroadcastEnvChain": _CHAIN,
    "BroadcastEnvKastafior": _CHAIN,
    "BroadcastEnvKascade": _CHAIN,
    "BroadcastEnvTree": dict(_CHAIN),
    "BroadcastEnvHttpPull": dict(_CHAIN),
    "BroadcastEnvCustom": dict(_CHAIN),
    "BootNewEnvClassical": {
        "switch_pxe": Presence.ALWAYS,
        "umount_deploy_part": Presence.ALWAYS,
        "reboot_from_deploy_env": Presence.BEFORE,
        "wait_reboot": Presence.NEVER,
    },
    "BootNewEnvKexec": {
        "switch_pxe": Presence.ALWAYS,
        "umount_deploy_part": Presence.ALWAYS,
        "mount_deploy_part": Presence.ALWAYS,
        "kexec": Presence.BEFORE,
        "wait_reboot": Presence.NEVER,
    },
    # For nodes that do not answer: whether one is still in the miniOS, nobody knows.
    "BootNewEnvHardReboot": {
        "switch_pxe": Presence.NEVER,
        "reboot": Presence.NEVER,
        "wait_reboot": Presence.NEVER,
    },
}

# Its host keys are what a node is recognised by after its last boot.
PROOF = "read_host_keys"


def can_be_put(instance: str, micro: str, name: List) -> bool:
    """Whether a node is in the miniOS when the operations of a list around a micro-step would run."""
    wanted = Presence.AFTER if name == "post-ops" else Presence.BEFORE
    return wanted in MICRO_STEPS[instance][micro]


def placement_problems(instances: Sequence[str], micro: str, lists: Mapping[Any, Any]) -> Iterator[Problem]:
    """What is wrong with the lists around a micro-step that all these instances have."""
    for name in LISTS:
        if name not in lists:
            continue
        if not any(can_be_put(instance, micro, name) for instance in instances):
            place = {"post-ops": "after", "pre-ops": "before", "substitute": "instead of"}[name]
            yield (name, KEY), f"the node is not in the deployment environment {place} {micro}"
        elif name == "substitute" and micro == PROOF:
            yield (name, KEY), f"{micro} cannot be left out: it tells a deployed node from any other system"
