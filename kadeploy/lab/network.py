# SPDX-License-Identifier: Apache-2.0
"""Network of a lab: a namespace with a bridge, a wire per machine, and no route to other networks."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from pyroute2 import IPRoute, netns

from kadeploy.config import namespace
from kadeploy.lab.driver import LabDriver
from kadeploy.lab.plan import IPV6_PREFIX, PREFIX_LENGTH, SERVER_ADDRESS, LabPlan

BRIDGE = "br0"


def exists(name: str) -> bool:
    """True if there is a network namespace of this name."""
    return (namespace.DIRECTORY / name).exists()


def create(plan: LabPlan, driver: LabDriver) -> None:
    """Make the namespace, enter it, and make bridge, addresses and wires in it."""
    netns.create(plan.namespace)
    namespace.enter(plan.namespace)
    with IPRoute() as route:
        route.link("set", index=_index(route, "lo"), state="up")
        # The bridge must forward from the first frame on: a machine's firmware asks for an address at once.
        route.link("add", ifname=BRIDGE, kind="bridge", br_forward_delay=0, br_stp_state=0)
        bridge = _index(route, BRIDGE)
        addresses = [SERVER_ADDRESS, *(node.bmc_address for node in plan.nodes)]
        for address in addresses:
            route.addr("add", index=bridge, address=address, prefixlen=PREFIX_LENGTH)
        # No duplicate address detection, which would keep the bridge silent for 2 s after the first carrier.
        Path(f"/proc/sys/net/ipv6/conf/{BRIDGE}/accept_dad").write_text("0")
        route.addr("add", index=bridge, address=f"{IPV6_PREFIX}1", prefixlen=64)
        # Milliseconds after which the kernel asks again for an address, 1000 by default: a machine must be
        # found within half a second after it answers.
        Path(f"/proc/sys/net/ipv4/neigh/{BRIDGE}/retrans_time_ms").write_text("250")
        route.link("set", index=bridge, state="up")
        for node in plan.nodes:
            driver.make_wire(route, node, bridge)


def set_link(tap: str, *, up: bool) -> None:
    """Plug or unplug the wire of a machine; the caller is in the namespace.

    The wire of a container node that is off does not exist; it is plugged or not when it is made.
    """
    with IPRoute() as route:
        for index in route.link_lookup(ifname=tap):
            route.link("set", index=index, state="up" if up else "down")


def remove(name: str) -> None:
    """Remove the name of the namespace; the kernel ends the namespace with its last process."""
    try:
        netns.remove(name)
    except FileNotFoundError:
        return


def processes_in(name: str) -> list[int]:
    """Pids of all processes in the namespace."""
    try:
        wanted = (namespace.DIRECTORY / name).stat().st_ino
    except FileNotFoundError:
        return []
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _namespace_of(entry) == wanted:
            pids.append(int(entry.name))
    return [pid for pid in pids if pid != os.getpid()]


def _namespace_of(process: Path) -> int | None:
    with contextlib.suppress(OSError):
        return (process / "ns" / "net").stat().st_ino
    return None


def _index(route: IPRoute, name: str) -> int:
    found = route.link_lookup(ifname=name)
    if not found:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), name)
    index: int = found[0]
    return index
