# SPDX-License-Identifier: Apache-2.0
"""Failure of a node: what the engine and its users say of it."""

from __future__ import annotations

from dataclasses import dataclass

from kadeploy.vocabulary.cause import Cause

# The causes of failures that the engine itself makes; all others come from its executor.
ABORTED = Cause.ABORTED.value
INTERNAL = Cause.INTERNAL.value


@dataclass(frozen=True, slots=True)
class Failure:
    """Failure of a node: one sentence, the last lines of evidence, and the class of its cause.

    ``lasting``: another attempt would fail the same way, so there is none.
    """

    reason: str
    evidence: str = ""
    cause: str = ""
    lasting: bool = False


def reason(failure: Failure | None) -> str:
    """Reason in one line, whatever a node or a tool wrote into it; '' where nothing failed."""
    return " ".join(failure.reason.split()) if failure else ""


LEFT_BEHIND = Failure("left behind by a killed command, not resumed", cause=ABORTED)
