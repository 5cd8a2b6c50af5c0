# SPDX-License-Identifier: Apache-2.0
"""Predicates of the conditions under which micro-steps and instances of a deployment run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kadeploy.disks.layout import Role
from kadeploy.environments.environment import System
from kadeploy.steps.facts import DeploymentFacts
from kadeploy.vocabulary.condition import Condition


def _has_keys(facts: DeploymentFacts) -> bool:
    return bool(facts.options.keys)


def _formats(facts: DeploymentFacts) -> bool:
    return not facts.environment.image_kind.brings_file_system


def _can_kexec(facts: DeploymentFacts) -> bool:
    """True if the miniOS can start the deployed kernel: a Linux on a file system that it can read."""
    return facts.options.kexec and facts.environment.os is System.LINUX and facts.mountable


DEPLOYMENT: Mapping[Condition, Callable[[DeploymentFacts], bool]] = {
    Condition.KEYS: _has_keys,
    Condition.PARTITIONED: lambda facts: facts.partitioned,
    Condition.FORMATTED: _formats,
    Condition.MOUNTED_BEFORE_BROADCAST: lambda facts: facts.mountable and _formats(facts),
    Condition.MOUNTED_AFTER_BROADCAST: lambda facts: facts.mountable and not _formats(facts),
    Condition.TMP_FORMATTED: lambda facts: Role.TMP in facts.reformatted,
    Condition.SWAP_FORMATTED: lambda facts: Role.SWAP in facts.reformatted,
    Condition.MOUNTABLE: lambda facts: facts.mountable,
    Condition.ADMIN_POST_INSTALLS: lambda facts: facts.mountable and bool(facts.admin_archives),
    Condition.USER_POST_INSTALLS: lambda facts: facts.mountable and bool(facts.user_archives),
    Condition.KEYS_ON_TARGET: lambda facts: facts.mountable and _has_keys(facts),
    Condition.KEXEC: _can_kexec,
    Condition.BOOTLOADER: lambda facts: facts.mountable and facts.options.install_bootloader,
}
