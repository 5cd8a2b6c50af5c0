# SPDX-License-Identifier: Apache-2.0
"""Evidence on a node that does not come back: its requests for boot files, and its console."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from kadeploy.boot.repository import BootRepository
from kadeploy.boot.requests import BootFileRequest, log_path, requests_of
from kadeploy.config.clusters import Node
from kadeploy.remote.hostkey import FailedProbe
from kadeploy.steps import console
from kadeploy.steps.boot_verdict import Awaited, BootFacts, BootFile
from kadeploy.steps.console import EVIDENCE_LINES, Reading
from kadeploy.steps.workbench import AnyWorkbench, BootingWorkbench

REQUESTS = 8


def console_path(workbench: AnyWorkbench, node: Node) -> Path | None:
    """Path of the record of the node's console, if it is recorded."""
    pattern = workbench.facts.cluster.console_log
    if not pattern:
        return None
    names = pattern.replace("HOSTNAME_FQDN", node.name).replace("HOSTNAME_SHORT", node.short_name)
    return workbench.site.path(Path(names))


def console_size(workbench: AnyWorkbench, node: Node) -> int:
    """Size of the record of the node's console in bytes; 0 if there is none."""
    path = console_path(workbench, node)
    return console.size(path) if path else 0


def gather(
    workbench: BootingWorkbench,
    node: Node,
    awaited: Awaited,
    failed_probe: FailedProbe,
    departures: Sequence[str] = (),
) -> BootFacts:
    """Gather the facts of the node's boot since it was ordered."""
    return BootFacts(
        awaited=awaited,
        failed_probe=failed_probe,
        departures=tuple(departures),
        requests=requests_since_reboot(workbench, node),
        files=tuple(_files(workbench, node, awaited)),
        console=_console(workbench, node),
        minios_key=workbench.minios_key(node),
    )


def requests_since_reboot(workbench: AnyWorkbench, node: Node) -> tuple[BootFileRequest, ...] | None:
    """Requests of the node since the order to reboot, None if they are not logged."""
    # The log has milliseconds, cut off.
    since = datetime.fromtimestamp(int(workbench.facts_of(node).rebooted_at * 1000) / 1000, UTC)
    root = workbench.boot.root
    if not log_path(root).exists():
        return None
    try:
        return tuple(requests_of(root, node.address, since))
    except OSError:
        return None


def _files(workbench: BootingWorkbench, node: Node, awaited: Awaited) -> Iterator[BootFile]:
    repository = workbench.boot
    yield _file(repository, "boot profile", repository.profile_path(node))
    if awaited is Awaited.MINIOS:
        yield _file(repository, "kernel", workbench.facts.minios.kernel)
        yield _file(repository, "initrd", workbench.facts.minios.initrd)


def _file(repository: BootRepository, name: str, path: str) -> BootFile:
    return BootFile(name, f"/{path}", console.size(repository.root / path))


def _console(workbench: AnyWorkbench, node: Node) -> Reading | None:
    path = console_path(workbench, node)
    if path is None:
        return None
    try:
        return console.read(console.text_since(path, workbench.facts_of(node).console_size))
    except OSError:
        return None


def shown(facts: BootFacts) -> str:
    """Facts as lines for the user."""
    return "\n".join([*_request_lines(facts), *_console_lines(facts)])


def _request_lines(facts: BootFacts) -> Iterator[str]:
    if facts.requests is None:
        yield "boot files: nobody logs requests for them on this machine"
    elif not facts.requests:
        yield "boot files: it asked for none since it was rebooted"
    else:
        yield from map(str, facts.requests[-REQUESTS:])


def _console_lines(facts: BootFacts) -> Iterator[str]:
    if facts.console is None:
        yield "console: no record can be read"
        return
    last = facts.console.lines[-EVIDENCE_LINES:]
    earlier = [line for line in facts.console.mishaps.values() if line not in last]
    for line in (*earlier, *last):
        yield f"console: {line}"
    if not last:
        yield "console: nothing since it was rebooted"
