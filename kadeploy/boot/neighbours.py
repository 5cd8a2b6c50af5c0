# SPDX-License-Identifier: Apache-2.0
"""Neighbours: the MAC of a client on a link of this machine, as the kernel knows it."""

from __future__ import annotations

import errno
from ipaddress import ip_address

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from kadeploy.errors import ServiceError

# linux/neighbour.h: states in which an entry has no address that was ever heard, or none at all.
_UNKNOWN = 0x01 | 0x20 | 0x40  # NUD_INCOMPLETE, NUD_FAILED, NUD_NOARP
_NOT_THERE = {errno.ENOENT, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENODEV}  # no route, or no entry


async def mac_of(address: str) -> str:
    """MAC of a machine with this address, in lower case; '' for one that is not on a link of this machine.

    The kernel sends what it sends to the address to this MAC. So whoever has taken an answer had it then.
    Raises ServiceError where the kernel does not tell.
    """
    try:
        ip_address(address)
    except ValueError:
        return ""
    try:
        async with AsyncIPRoute() as routes:
            for route in await routes.route("get", dst=address):
                if route.get_attr("RTA_GATEWAY") is None:
                    return await _entry(routes, address, route.get_attr("RTA_OIF"))
    except NetlinkError as error:
        if error.code not in _NOT_THERE:
            raise ServiceError(f"the kernel does not tell the MAC of {address}: {error}") from error
    except OSError as error:
        raise ServiceError(f"the kernel does not tell the MAC of {address}: {error.strerror}") from error
    return ""


async def _entry(routes: AsyncIPRoute, address: str, link: int) -> str:
    for entry in await routes.neigh("get", dst=address, ifindex=link):
        if not entry["state"] & _UNKNOWN:
            return str(entry.get_attr("NDA_LLADDR") or "").lower()
    return ""
