# SPDX-License-Identifier: Apache-2.0
"""Verdict on an operation: the summary that scripts parse, evidence, exit status."""

from __future__ import annotations

from collections.abc import Iterator

from kadeploy.cli.fields import in_options
from kadeploy.cli.labels import label
from kadeploy.errors import ExitStatus
from kadeploy.nodes import fold
from kadeploy.service.views.result import ResultView
from kadeploy.workflow.failure import ABORTED
from kadeploy.workflow.phase import Phase

EVIDENCE_LINES = 16


def summary(result: ResultView) -> Iterator[str]:
    """Lines that execo and others parse, with a list of their own for held and aborted nodes."""
    name = label(result.wid).name
    yield from _power(result)
    yield ""
    if good := result.in_phase(Phase.OK):
        yield f"The {name} is successful on nodes"
        yield from (node.node for node in good)
    if held := result.in_phase(Phase.HELD):
        yield f"The {name} is held on nodes"
        yield from (f"{node.node} ({node.error or node.step})" for node in held)
    for phase, verb in ((Phase.KO, "failed"), (Phase.ABORTED, "was aborted")):
        if bad := result.in_phase(phase):
            yield f"The {name} {verb} on nodes"
            yield from (f"{node.node} ({node.error})" for node in bad)


def _power(result: ResultView) -> Iterator[str]:
    """Lists of nodes that are on and off, if that was asked for (Kadeploy3's shape)."""
    if found := [node for node in result.nodes if node.power]:
        yield "---"
        yield from (f"{node.node}: {node.power}" for node in found)
        yield "---"


def evidence(result: ResultView) -> Iterator[str]:
    """Cause, place, reason and evidence of each node that failed; then the number of nodes of each cause."""
    for node in result.in_phase(Phase.KO) + result.in_phase(Phase.HELD):
        if node.error:
            yield f"{node.node}: [{node.cause}] {node.error}"
            yield from (f"    {_shown(line)}" for line in node.evidence.splitlines()[-EVIDENCE_LINES:])
    yield from totals(result)


def _shown(line: str) -> str:
    """Line of evidence; hints among those of nodes name what a user of kadeploy may do."""
    return in_options(line, "kadeploy") if line.startswith("hint: ") else line


def totals(result: ResultView) -> Iterator[str]:
    """Line with the number of failed nodes of each cause, the most frequent first; none if none failed.

    Aborted nodes did not fail, and stand in a list of their own.
    """
    nodes: dict[str, list[str]] = {}
    for node in result.nodes:
        if node.error and node.cause != ABORTED:
            nodes.setdefault(node.cause, []).append(node.node)
    by_number = sorted(nodes.items(), key=lambda pair: -len(pair[1]))
    if by_number:
        yield "failed: " + ", ".join(f"{len(names)} {cause} ({fold(names)})" for cause, names in by_number)


def known_hosts(result: ResultView) -> Iterator[str]:
    """Lines of ssh's known_hosts for nodes that were verified, and for the miniOS of those that are held."""
    for node in result.in_phase(Phase.OK):
        yield from (f"{node.node},{node.address} {key}" for key in node.host_keys)
    for node in result.in_phase(Phase.HELD):
        if node.good and node.minios_key:
            yield f"{node.node},{node.address} {node.minios_key}"


def exit_status(result: ResultView) -> ExitStatus:
    """Exit status: 0 if every node, or enough of them, came to the end that was asked for."""
    good = sum(node.good for node in result.nodes)
    return ExitStatus.OK if good >= result.enough else ExitStatus.NODES_FAILED
