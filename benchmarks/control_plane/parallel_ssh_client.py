# SPDX-License-Identifier: Apache-2.0
"""parallel_ssh_client.py CLIENT_KEY FAN_OUT: run the command of its input on nodes, cold and then warm.

Input and output are those of kadeploy_client. Runs in a virtual environment with parallel-ssh, which
checks no host keys.
"""

from __future__ import annotations

import json
import sys
import time

from pssh.clients import ParallelSSHClient


def main(client_key: str, fan_out: int, hosts: list[str], command: list[str]) -> list[dict[str, float]]:
    """Figures without standing connections, then with them."""
    client = ParallelSSHClient(hosts, user="root", pkey=client_key, pool_size=fan_out, allow_agent=False)
    return [measured(client, command) for _ in ("cold", "warm")]


def measured(client: ParallelSSHClient, command: list[str]) -> dict[str, float]:
    """Run the command everywhere at once."""
    began, processor = time.perf_counter(), time.process_time()
    outputs = client.run_command(" ".join(command))
    answers = sum(list(output.stdout) == [command[-1]] for output in outputs)
    return {
        "seconds": time.perf_counter() - began,
        "processor": time.process_time() - processor,
        "answers": answers,
    }


if __name__ == "__main__":
    orders = json.load(sys.stdin)
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), orders["hosts"], orders["command"])))
