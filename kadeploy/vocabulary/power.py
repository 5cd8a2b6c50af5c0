# SPDX-License-Identifier: Apache-2.0
"""Macro-step of a power operation, with its instances and micro-steps."""

from __future__ import annotations

from kadeploy.vocabulary.cause import Cause
from kadeploy.vocabulary.instance import InstanceEntry, MacroStepEntry
from kadeploy.vocabulary.micro_step import MicroStepEntry

POWER = MacroStepEntry(
    "Power",
    (
        InstanceEntry("PowerOn", (MicroStepEntry("power_on", Cause.POWER, 120, throttled=True),)),
        InstanceEntry("PowerOff", (MicroStepEntry("power_off", Cause.POWER, 120, throttled=True),)),
        InstanceEntry("PowerStatus", (MicroStepEntry("power_status", Cause.POWER),)),
    ),
)
