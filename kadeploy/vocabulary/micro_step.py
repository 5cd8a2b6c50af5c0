# SPDX-License-Identifier: Apache-2.0
"""Entries of micro-steps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kadeploy.vocabulary.cause import Cause
from kadeploy.vocabulary.condition import Condition
from kadeploy.vocabulary.duration import COMMAND, Duration
from kadeploy.vocabulary.presence import Presence
from kadeploy.vocabulary.scope import Scope


class ClusterTimeout(StrEnum):
    """Timeout that the cluster's file gives; the value is its key below ``timeouts``."""

    REBOOT = "reboot"
    KEXEC = "kexec"


@dataclass(frozen=True, slots=True)
class MicroStepEntry:
    """Facts of one micro-step of an instance.

    ``cause`` is the class of its failures unless a failure names another one. ``timeout`` is in seconds, or
    one of the cluster's. ``restart`` names the micro-step of the instance from which it is redone when the
    engine was killed in it, '' for itself. ``throttled``: it counts in the window of reboots. ``presence``:
    when the node is in the miniOS, where users may put operations of their own. ``proves_system``: what it
    reads tells the deployed system from any other one, so it cannot be substituted. ``renews_target``: it is
    repeated where an image was begun, for it makes a part of the target's fresh file system.
    ``settles``: what it has waited for must go on answering for the cluster's ``verify.settle`` seconds,
    which are in its time.

    The simulation assumes ``duration`` and ``hangs``, a share of the runs. There a node without power hangs
    in a micro-step that ``needs_node``; one that ``restores_power`` reboots through the BMC.
    """

    name: str
    cause: Cause
    timeout: float | ClusterTimeout = 60
    scope: Scope = Scope.NODE
    restart: str = ""
    throttled: bool = False
    presence: Presence = Presence.NEVER
    condition: Condition = Condition.ALWAYS
    proves_system: bool = False
    renews_target: bool = False
    settles: bool = False
    duration: Duration = COMMAND
    hangs: float = 0.0
    needs_node: bool = True
    restores_power: bool = False
