# SPDX-License-Identifier: Apache-2.0
"""Predicates of the conditions under which micro-steps of a deployment run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kadeploy.disks.layout import Role
from kadeploy.steps.deployment import DeploymentWorkbench
from kadeploy.vocabulary.condition import Condition


def _has_keys(workbench: DeploymentWorkbench) -> bool:
    return bool(workbench.options.keys)


def _formats(workbench: DeploymentWorkbench) -> bool:
    return not workbench.environment.image_kind.brings_file_system


DEPLOYMENT: Mapping[Condition, Callable[[DeploymentWorkbench], bool]] = {
    Condition.KEYS: _has_keys,
    Condition.PARTITIONED: lambda workbench: workbench.partitioned,
    Condition.FORMATTED: _formats,
    Condition.MOUNTED_BEFORE_BROADCAST: lambda workbench: workbench.mountable and _formats(workbench),
    Condition.MOUNTED_AFTER_BROADCAST: lambda workbench: workbench.mountable and not _formats(workbench),
    Condition.TMP_FORMATTED: lambda workbench: Role.TMP in workbench.reformatted,
    Condition.SWAP_FORMATTED: lambda workbench: Role.SWAP in workbench.reformatted,
    Condition.MOUNTABLE: lambda workbench: workbench.mountable,
    Condition.ADMIN_POST_INSTALLS: lambda workbench: workbench.mountable and bool(workbench.admin_archives),
    Condition.USER_POST_INSTALLS: lambda workbench: workbench.mountable and bool(workbench.user_archives),
    Condition.KEYS_ON_TARGET: lambda workbench: workbench.mountable and _has_keys(workbench),
    Condition.BOOTLOADER: lambda workbench: workbench.mountable and workbench.options.install_bootloader,
}
