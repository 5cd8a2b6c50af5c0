# SPDX-License-Identifier: Apache-2.0
"""Work of kadeploy --list, --watch, --cancel and --abandon: what is kept of workflows, and their ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime

from kadeploy.cli.deploy_options import DeployOptions
from kadeploy.cli.server_options import open_contract
from kadeploy.cli.short_names import shortest_unique
from kadeploy.cli.standard_streams import say, tell
from kadeploy.errors import ExitStatus
from kadeploy.nodes import fold
from kadeploy.service.views.workflows import CountsView, QueuePlaceView, WorkflowsView, WorkflowView
from kadeploy.terminal import printable_line

UNKNOWN = "?"
NONE = "-"


def carry_out(options: DeployOptions) -> ExitStatus:
    """Do what --list, --cancel or --abandon asks for."""
    asyncio.run(_carry_out(options))
    return ExitStatus.OK


async def _carry_out(options: DeployOptions) -> None:
    async with open_contract(options) as contract:
        if options.cancel:
            wid = (await contract.workflows.cancel(options.cancel)).wid
            tell(f"{wid} ends; kadeploy --watch {wid} shows how")
        elif options.abandon:
            abandoned = await contract.workflows.abandon(options.abandon)
            tell(f"{fold(abandoned.nodes) if abandoned.nodes else abandoned.wid} abandoned")
        else:
            _print_list(await contract.workflows.list(options.listing or None), as_json=options.as_json)


def _print_list(view: WorkflowsView, *, as_json: bool) -> None:
    if as_json:
        say(view.to_json_text())
        return
    for line in describe(view.workflows):
        say(printable_line(line))


def describe(workflows: Sequence[WorkflowView]) -> Iterator[str]:
    """Lines of workflows, each with the shortest name by which it can be called."""
    short = shortest_unique(workflow.wid for workflow in workflows)
    rows = [
        (
            short[workflow.wid],
            f"{datetime.fromisoformat(workflow.started).astimezone():%Y-%m-%d %H:%M:%S}",
            _duration(workflow.seconds),
            workflow.user,
            workflow.environment or NONE,
            f"{workflow.state}: {_outcome(workflow)}",
        )
        for workflow in workflows
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, started, duration, user, environment, outcome in rows:
        columns = (
            name.ljust(widths[0]),
            started,
            duration.rjust(widths[2]),
            user.ljust(widths[3]),
            environment.ljust(widths[4]),
            outcome,
        )
        yield "  ".join(columns)


def _duration(seconds: float | None) -> str:
    """Time as ``1:02:03``, or ``2:03`` below an hour."""
    if seconds is None:
        return NONE
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _outcome(workflow: WorkflowView) -> str:
    """Outcome of a workflow: why it did not begin, how its nodes ended, or where they are now."""
    if workflow.message:
        return workflow.message
    if workflow.finished is not None:
        return _counts(workflow.counts)
    if workflow.queue is not None:
        return _place(workflow.queue)
    states: dict[str, list[str]] = {}
    for node, state in workflow.nodes.items():
        states.setdefault(state, []).append(node)
    return ", ".join(f"{state} {fold(nodes)}" for state, nodes in states.items()) or NONE


def _place(place: QueuePlaceView) -> str:
    """``position 2, begins in about 5:00``."""
    begins = "" if place.seconds is None else f", begins in about {_duration(place.seconds)}"
    return f"position {place.position}{begins}"


def _counts(counts: CountsView) -> str:
    """``98 ok, 2 ko``; what is unknown is ``?``."""
    known = {name: count for name, count in counts.to_json().items() if count is not None}
    if not known:
        return f"{UNKNOWN} ok"
    return ", ".join(f"{count} {name}" for name, count in known.items() if count) or "0 ok"
