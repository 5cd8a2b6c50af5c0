# SPDX-License-Identifier: Apache-2.0
"""Filter of the records of past operations, as those who ask for statistics give it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from kadeploy.vocabulary.workflow import WorkflowKind

MacroStepNumber = Annotated[int, Field(ge=1, le=3)]


@dataclass(frozen=True, slots=True)
class Filter:
    """Filter of records; times are inclusive, on the start of a node's workflow.

    ``min_retries`` must be reached in each of ``retry_steps``, or in any step where there are none.
    """

    since: float | None = None
    until: float | None = None
    hosts: tuple[str, ...] = ()
    kind: WorkflowKind | None = None
    workflow_id: str | None = None
    min_retries: int | None = None
    retry_steps: tuple[MacroStepNumber, ...] = ()
    sort: tuple[str, ...] = field(default=("start",))
    limit: int | None = None
    offset: int = 0
