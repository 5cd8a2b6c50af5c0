# SPDX-License-Identifier: Apache-2.0
"""Placement of custom operations: the micro-steps around which they can be put."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kadeploy.config.custom_operations import LISTS, List
from kadeploy.config.problems import Problem
from kadeploy.config.yaml_file import KEY
from kadeploy.vocabulary.micro_step import MicroStepEntry
from kadeploy.vocabulary.presence import Presence


def can_be_put(step: MicroStepEntry, name: List) -> bool:
    """Check whether a node is in the miniOS when operations of a list around a micro-step would run."""
    wanted = Presence.AFTER if name == "post-ops" else Presence.BEFORE
    return wanted in step.presence


def placement_problems(steps: Sequence[MicroStepEntry], lists: Mapping[Any, Any]) -> Iterator[Problem]:
    """Problems of the lists around the micro-steps of one name in several instances."""
    micro = steps[0].name
    for name in LISTS:
        if name not in lists:
            continue
        if not any(can_be_put(step, name) for step in steps):
            place = {"post-ops": "after", "pre-ops": "before", "substitute": "instead of"}[name]
            yield (name, KEY), f"the node is not in the deployment environment {place} {micro}"
        elif name == "substitute" and steps[0].proves_system:
            yield (name, KEY), f"{micro} cannot be left out: it tells a deployed node from any other system"
