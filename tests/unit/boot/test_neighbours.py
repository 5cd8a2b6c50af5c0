# SPDX-License-Identifier: Apache-2.0
"""MACs of neighbours, in a network namespace with two links of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

MAC = "52:54:00:1f:00:0b"
SCRIPT = f"""\
set -e
ip link set lo up
ip link add front type veth peer name back
ip link set front up; ip link set back up
ip address add 172.31.0.1/24 dev front
ip route add 10.7.0.0/16 via 172.31.0.11
ip neigh replace 172.31.0.11 lladdr {MAC} dev front nud stale
ip neigh replace 172.31.0.12 dev front nud failed
exec {sys.executable} -c '
import asyncio
from kadeploy.boot.neighbours import mac_of
async def main():
    for address in ("172.31.0.11", "172.31.0.12", "172.31.0.13", "172.31.0.1", "10.7.0.1", "9.9.9.9", "::2"):
        print(repr(await mac_of(address)))
asyncio.run(main())
'
"""


@pytest.mark.needs("ip", "unshare")
@pytest.mark.root
def test_only_a_neighbour_has_a_mac() -> None:
    """Not one that does not answer, was never asked, is this machine, is behind a router, or nowhere."""
    argv = ["unshare", "--net", "sh", "-c", SCRIPT]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert done.stderr == "" and done.stdout.split() == [repr(MAC), *["''"] * 6]
