# SPDX-License-Identifier: Apache-2.0
"""One node in one micro-step."""

from __future__ import annotations

from dataclasses import dataclass

from kadeploy.config.clusters import Node
from kadeploy.vocabulary.cause import Cause


@dataclass(slots=True)
class NodeRun:
    """``attempt`` counts the attempts of the instance from 0.

    A step that waits keeps ``observed`` (one sentence) and ``evidence`` up to date: they are what the
    user is told when its deadline passes. ``cause`` is set where they tell more than the step's own class.
    """

    node: Node
    attempt: int
    observed: str = ""
    evidence: str = ""
    cause: Cause | None = None
