# SPDX-License-Identifier: Apache-2.0
"""Chain broadcast, with HTTP for nodes that have no Python to be a part of the chain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace

from kadeploy.broadcast.chain import ChainBroadcast
from kadeploy.broadcast.http_pull import HttpPullBroadcast
from kadeploy.broadcast.interface import (
    Broadcast,
    Delivery,
    Early,
    Progress,
    RelayResult,
    RelayTransport,
    Trouble,
    ignore,
)
from kadeploy.errors import NodeError
from kadeploy.time_limit import time_limit

NOTE = "no Python 3.11 there, so not in the chain"

# The relay needs the argument process_group of subprocess.Popen, which is new in Python 3.11.
_PROBE = """
python3 -c "import sys; sys.exit(sys.version_info < (3, 11))" >/dev/null 2>&1 && echo able || echo unable
"""


class ChainOrPull:
    """``Broadcast`` by a chain; nodes that lack Python for it fetch the image after the others."""

    def __init__(self, chain: Broadcast | None = None) -> None:
        self._chain: Broadcast = chain or ChainBroadcast()
        self._pull: Broadcast = HttpPullBroadcast()

    async def run(
        self, delivery: Delivery, transport: RelayTransport, progress: Progress, early: Early = ignore
    ) -> Mapping[str, RelayResult]:
        async def pass_on(results: Mapping[str, RelayResult]) -> None:
            await early({node: result for node, result in results.items() if not _is_suspect(result)})

        began = time.monotonic()
        results = dict(await self._chain.run(delivery, transport, progress, pass_on))
        suspects = [node for node in delivery.nodes if _is_suspect(results[node])]
        without_python = await _find_without_python(suspects, transport, delivery.options.start_timeout)
        options = delivery.options
        if options.deadline is not None:
            left = options.deadline - (time.monotonic() - began)
            options = replace(options, deadline=max(left, 0))
        if without_python:
            recipients = [recipient for recipient in delivery.recipients if recipient.node in without_python]
            pulled = await self._pull.run(
                replace(delivery, recipients=recipients, options=options), transport, progress
            )
            results |= {node: replace(r, notes=(NOTE, *r.notes)) for node, r in pulled.items()}
        return results


def _is_suspect(result: RelayResult) -> bool:
    """True when a lack of Python may be the cause."""
    return result.trouble is Trouble.PEERS and not result.received


async def _find_without_python(nodes: list[str], transport: RelayTransport, timeout: float) -> set[str]:
    """Find the nodes that can run programs, but have no Python for the relay."""

    async def check(node: str) -> None:
        try:
            async with time_limit(timeout):
                if await _probe_python(node, transport) == "unable":
                    found.add(node)
        except (NodeError, OSError, TimeoutError):
            return  # it failed for another reason, which is in its result

    found: set[str] = set()
    async with asyncio.TaskGroup() as group:
        for node in nodes:
            group.create_task(check(node))
    return found


async def _probe_python(node: str, transport: RelayTransport) -> str:
    """Run the probe; returns its last line, as a login shell may print something before it."""
    process = await transport.start(node, ["sh", "-c", _PROBE])
    last = ""
    try:
        while line := await process.readline():
            last = line.decode(errors="replace").strip()
    finally:
        await process.stop()
    return last
