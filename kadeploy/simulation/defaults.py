# SPDX-License-Identifier: Apache-2.0
"""Durations of micro-steps of which nothing is known: those of the vocabulary.

They are of servers that take two minutes for their firmware.
"""

from __future__ import annotations

from kadeploy.vocabulary.duration import Duration, LogNormal
from kadeploy.vocabulary.micro_step import MicroStepEntry
from kadeploy.vocabulary.names import INSTANCES

CUSTOM = LogNormal(3, 1.5)  # operations of users and administrators


def duration(instance: str, micro: str) -> Duration:
    """Duration of runs of a micro-step, or of a custom operation."""
    step = entry(instance, micro)
    return step.duration if step else CUSTOM


def hangs(instance: str, micro: str) -> float:
    """Share of the runs that never end."""
    step = entry(instance, micro)
    return step.hangs if step else 0.0


def entry(instance: str, micro: str) -> MicroStepEntry | None:
    """Entry of a micro-step, None for a custom operation."""
    return INSTANCES[instance].micro_step(micro) if instance in INSTANCES else None
