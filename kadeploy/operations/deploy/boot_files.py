# SPDX-License-Identifier: Apache-2.0
"""Boot files that an image has not: who may make them on the nodes before these are asked for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kadeploy.config.automata import MacroSteps
from kadeploy.config.custom_operations import LISTS, OperationLists
from kadeploy.config.custom_steps import CustomSteps
from kadeploy.steps.facts import PostInstall
from kadeploy.vocabulary.deployment import BOOT_NEW_ENV, BROADCAST_ENV, SET_DEPLOYMENT_ENV
from kadeploy.vocabulary.names import instances_of

_CHECK = "check_kernel_files"


def may_be_made(archives: Iterable[PostInstall], settings: MacroSteps, steps: CustomSteps) -> bool:
    """Check for a post-install of the administrator, or a custom operation, that may make boot files."""
    return any(archive.makes_boot_files for archive in archives) or any(
        lists.operations(name)
        for micro, lists in (*_of_cluster(settings), *_of_user(steps))
        if micro not in _AFTERWARDS
        for name in LISTS
    )


def _of_cluster(settings: MacroSteps) -> Iterator[tuple[str, OperationLists]]:
    for macro in (SET_DEPLOYMENT_ENV, BROADCAST_ENV):
        for setting in settings.of(macro.name):
            yield from ((lists.name, lists) for lists in setting.microsteps)


def _of_user(steps: CustomSteps) -> Iterator[tuple[str, OperationLists]]:
    for name, micro, lists in steps.entries():
        if not set(instances_of(name)) <= set(BOOT_NEW_ENV.instances):
            yield micro, lists


def _steps_afterwards() -> Iterator[str]:
    """Names of the micro-steps behind the look at the files, in all instances."""
    for instance in BROADCAST_ENV.instances:
        names = [step.name for step in instance.micro_steps]
        yield from names[names.index(_CHECK) + 1 :]


_AFTERWARDS = frozenset(_steps_afterwards())
