# SPDX-License-Identifier: Apache-2.0
"""Table of operations that have not ended: one line for each, and one for its nodes of each state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from kadeploy.cli.columns import NONE, aligned, short_time
from kadeploy.cli.short_names import shortest_unique
from kadeploy.nodes import fold
from kadeploy.service.views.workflows import WorkflowView

TITLES = ("Operation", "Kind", "User", "Started", "Environment", "State")


def operation_lines(workflows: Sequence[WorkflowView]) -> Iterator[str]:
    """Lines of workflows, each with the shortest name by which it can be called; none without workflows."""
    if not workflows:
        return
    short = shortest_unique(workflow.wid for workflow in workflows)
    now = datetime.now().astimezone()
    rows = [
        (
            short[workflow.wid],
            workflow.kind,
            workflow.user,
            short_time(workflow.started, now),
            workflow.environment or NONE,
            f"{workflow.state}: {workflow.message}" if workflow.message else workflow.state,
        )
        for workflow in workflows
    ]
    title, *lines = aligned(TITLES, rows)
    yield title
    for line, workflow in zip(lines, workflows, strict=True):
        yield line
        yield from _node_lines(workflow)


def _node_lines(workflow: WorkflowView) -> Iterator[str]:
    states: dict[str, list[str]] = {}
    for node, state in workflow.nodes.items():
        states.setdefault(state, []).append(node)
    width = max(map(len, states), default=0)
    for state, nodes in states.items():
        yield f"    {state:<{width}}  {fold(nodes)}"
