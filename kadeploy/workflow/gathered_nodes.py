# SPDX-License-Identifier: Apache-2.0
"""Gathered nodes: those that are to begin a set-scoped micro-step together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class GatheredNodes:
    """Nodes that wait at a set-scoped step; ``grace`` 0 while none runs.

    ``since``: when the first of them came, by the clock of the workflow.
    """

    nodes: dict[str, None]  # in the order in which they came
    since: float
    grace: int = 0
