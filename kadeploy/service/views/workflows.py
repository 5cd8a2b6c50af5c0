# SPDX-License-Identifier: Apache-2.0
"""Document of the workflows of a site: kadeploy --list --json."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from kadeploy.operations.workflows import Overview
from kadeploy.service.views.view import Document, View


class WorkflowView(View):
    """Workflow, and the states of its nodes that nobody else has had since; ``started`` is a time of UTC."""

    wid: str
    user: str
    state: str
    started: str
    nodes: dict[str, str]

    @classmethod
    def of(cls, overview: Overview) -> WorkflowView:
        """View of a workflow."""
        workflow = overview.workflow
        return cls(
            wid=workflow.id,
            user=workflow.user,
            state=overview.state,
            started=datetime.fromtimestamp(workflow.started, UTC).isoformat(),
            nodes={record.name: str(record.state) for record in overview.nodes},
        )


class WorkflowsView(Document):
    """Workflows of a site, oldest first."""

    kind: Literal["workflows"] = "workflows"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    workflows: tuple[WorkflowView, ...]

    @classmethod
    def of(cls, overviews: Sequence[Overview]) -> WorkflowsView:
        """View of workflows."""
        return cls(workflows=tuple(map(WorkflowView.of, overviews)))
