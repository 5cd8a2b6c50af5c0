# SPDX-License-Identifier: Apache-2.0
"""Evidence for a node that does not come back: what it asked of the boot services, and its console."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from kadeploy.boot.requests import requests_of
from kadeploy.config.clusters import Node
from kadeploy.steps.deployment import Deployment

CONSOLE_BYTES = 8 * 1024
CONSOLE_LINES = 6
REQUESTS = 8


def boot_evidence(deployment: Deployment, node: Node) -> str:
    """The node's requests for boot files since its reboot, and the last lines of its recorded console."""
    since = datetime.fromtimestamp(deployment.facts_of(node).rebooted_at, UTC)
    try:
        requests = requests_of(deployment.boot.root, node.address, since)
        lines = [str(request) for request in requests[-REQUESTS:]]
    except OSError as error:
        lines = [f"no log of boot files: {error}"]
    if not lines:
        lines = ["it asked for no boot file since it was rebooted: firmware, network or DHCP"]
    return "\n".join([*lines, *_console_lines(deployment, node)])


def _console_lines(deployment: Deployment, node: Node) -> list[str]:
    pattern = deployment.cluster.console_log
    if not pattern:
        return []
    path = Path(pattern.replace("HOSTNAME_FQDN", node.name).replace("HOSTNAME_SHORT", node.short_name))
    try:
        with deployment.site.path(path).open("rb") as console:
            size = console.seek(0, os.SEEK_END)
            console.seek(max(size - CONSOLE_BYTES, 0))
            text = console.read().decode(errors="replace")
    except OSError as error:
        return [f"no console: {path}: {error.strerror}"]
    lines = [_printable(line) for line in text.splitlines()]
    return [f"console: {line}" for line in lines if line.strip()][-CONSOLE_LINES:]


def _printable(line: str) -> str:
    """Firmware draws with escape sequences, which would draw on the reader's terminal too."""
    return "".join(character for character in line if character.isprintable())
