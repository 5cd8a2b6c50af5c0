# SPDX-License-Identifier: Apache-2.0
"""One stream of packets for all: udpcast, whose pace the receivers set, and uftp, which is given one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .crew import Crew
from .fleet import HEAD
from .loads import NAME, Load

UDPCAST_PORT = 9000
UFTP_PORT = 1044
PACE = (
    0.97  # of the line rate, for uftp's packets without Ethernet's headers: what overruns the queue is lost
)


def udpcast(crew: Crew, load: Load) -> Mapping[str, Any]:
    """It begins when all receivers have answered it."""
    fleet, members = crew.fleet, []
    options = "--nokbd --no-progress --interface eth0"
    for node in fleet.nodes:
        sink = f"--file {fleet.here / NAME}" if load.kind == "file" else f"| {load.shell(fleet)}"
        members.append(crew.start(node, ["sh", "-c", f"udp-receiver {options} {sink}"]))
    for member in members:
        crew.await_datagrams(member, UDPCAST_PORT)
    receivers = ["--full-duplex", "--min-receivers", str(len(members))]
    with crew.timed():
        source = crew.start(HEAD, ["udp-sender", *options.split(), "--file", load.path, *receivers])
        crew.finish([*members, source])
    return {}


def uftp(crew: Crew, load: Load) -> Mapping[str, Any]:
    """The sender ends when it has heard from each receiver that it has all."""
    fleet = crew.fleet
    for node in fleet.nodes:
        member = crew.start(node, ["uftpd", "-d", "-I", "eth0", "-D", fleet.here])
        crew.await_datagrams(member, UFTP_PORT)
    rate = (fleet.rate or 10**9) / 1000 * PACE
    hosts = ",".join(fleet.address(node) for node in fleet.nodes)
    options = ["-I", "eth0", "-R", f"{rate:.0f}", "-C", "none", "-H", hosts, "-D", NAME]
    with crew.timed():
        crew.finish([crew.start(HEAD, ["uftp", *options, load.path])])
    return {}
