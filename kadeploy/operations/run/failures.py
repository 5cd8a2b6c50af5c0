# SPDX-License-Identifier: Apache-2.0
"""Verdicts on nodes that failed in a micro-step: a cause, a sentence, evidence or a hint."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from kadeploy.errors import KadeployError, NodeError
from kadeploy.masking import masked
from kadeploy.steps.caused_error import CausedError, cause_of
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.step import Step
from kadeploy.terminal import printable
from kadeploy.vocabulary.cause import Cause
from kadeploy.workflow.failure import Failure

MAX_REASON = 500  # characters of the sentence that ends in lists and statistics


def failure_of(error: KadeployError, step: Step[Any]) -> Failure:
    """The verdict on a node on which a step has raised an error."""
    evidence = error.evidence if isinstance(error, NodeError) else ""
    failure = _failure(error.message, cause_of(error, step.cause), evidence, error.hint)
    return replace(failure, lasting=isinstance(error, CausedError) and error.lasting)


def interruption_of(step: Step[Any], run: NodeRun, cancelled: asyncio.CancelledError) -> Failure:
    """Verdict on a node whose step was broken off, most often by its deadline, by what was last seen of it.

    A command that was broken off has left a note: its name, and in further lines what it wrote.
    """
    note, _, output = "\n".join(getattr(cancelled, "__notes__", ())).partition("\n")
    seen = printable(run.observed).strip() or printable(note).strip()
    sentence = seen or f"nothing was seen of {step.name} yet"
    return _failure(sentence, run.cause or step.cause, run.evidence or output, "")


def _failure(sentence: str, cause: Cause, evidence: str, hint: str) -> Failure:
    shown = printable(evidence).strip()
    advice = printable(hint) or ("" if shown else cause.advice)
    lines = [shown, f"hint: {advice}" if advice else ""]
    reason, text = masked(printable(sentence)), masked("\n".join(filter(None, lines)))
    return Failure(reason[:MAX_REASON], text, str(cause))
