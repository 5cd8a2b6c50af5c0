# SPDX-License-Identifier: Apache-2.0
"""Outcome of a workflow as the history tells it, when its nodes have long been used by others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkflowOutcome:
    """Outcome of a workflow: counts of nodes by their ends, None where that is unknown.

    ``environment`` is ``name:version``, '' where there is none; ``message`` is the sentence with which the
    workflow was refused or has failed.
    """

    ok: int | None = None
    ko: int | None = None
    held: int | None = None
    aborted: int | None = None
    environment: str = ""
    message: str = ""
