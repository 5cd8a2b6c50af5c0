# SPDX-License-Identifier: Apache-2.0
"""kadeploy_client CLIENT_KEY HOST_KEY.pub: run the command of its input on nodes, cold and then warm.

The input is JSON: ``hosts`` and ``command``. Prints a list of JSON objects: the seconds, and the processor
seconds of the whole process, from the first call to the last answer, and how many nodes answered. Runs in
the checkout's own Python, by the class that the steps of a deployment use.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from kadeploy.remote.connection import NodeConnections

DEADLINE = 120.0


async def main(
    client_key: Path, host_key: str, hosts: list[str], command: list[str]
) -> list[dict[str, float]]:
    """Figures without standing connections, then with them."""
    connections = NodeConnections(client_key=client_key, address=lambda host: host, connect_timeout=60)
    for host in hosts:
        connections.pin(host, [host_key])
    try:
        return [await measured(connections, hosts, command) for _ in ("cold", "warm")]
    finally:
        await connections.aclose()


async def measured(connections: NodeConnections, hosts: list[str], command: list[str]) -> dict[str, float]:
    """Run the command everywhere at once."""
    began, processor = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(connections.run(host, command, timeout=DEADLINE)) for host in hosts]
    return {
        "seconds": time.perf_counter() - began,
        "processor": time.process_time() - processor,
        "answers": sum(run.result().stdout == f"{command[-1]}\n" for run in runs),
    }


if __name__ == "__main__":
    orders = json.load(sys.stdin)
    key = Path(sys.argv[2]).read_text().strip()
    print(json.dumps(asyncio.run(main(Path(sys.argv[1]), key, orders["hosts"], orders["command"]))))
