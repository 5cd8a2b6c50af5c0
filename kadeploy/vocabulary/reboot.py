# SPDX-License-Identifier: Apache-2.0
"""Macro-step of a reboot, with its instances and micro-steps."""

from __future__ import annotations

from dataclasses import replace

from kadeploy.vocabulary.cause import Cause
from kadeploy.vocabulary.condition import Condition
from kadeploy.vocabulary.instance import InstanceEntry, MacroStepEntry
from kadeploy.vocabulary.micro_step import ClusterTimeout, MicroStepEntry

_SWITCH_PXE = MicroStepEntry("switch_pxe", Cause.SERVICE)
_REBOOT = MicroStepEntry("reboot", Cause.POWER, 120, throttled=True)
_WAIT = MicroStepEntry("wait_reboot", Cause.REBOOT, ClusterTimeout.REBOOT, settles=True)
# Whether a node that answers has gone down meanwhile cannot be found out later: a reboot is ordered again.
_WAIT_FOR_DISK = replace(_WAIT, restart="reboot")

REBOOT = MacroStepEntry(
    "Reboot",
    (
        InstanceEntry("RebootSimple", (_REBOOT, _WAIT_FOR_DISK)),
        InstanceEntry("RebootSetPXE", (_SWITCH_PXE, _REBOOT, _WAIT_FOR_DISK)),
        InstanceEntry(
            "RebootDeployEnv",
            (
                _SWITCH_PXE,
                _REBOOT,
                _WAIT,
                MicroStepEntry("send_key_in_deploy_env", Cause.MINIOS, condition=Condition.KEYS),
            ),
        ),
        InstanceEntry("RebootRecordedEnv", (_SWITCH_PXE, _REBOOT, _WAIT_FOR_DISK)),
    ),
)
