# SPDX-License-Identifier: Apache-2.0
"""DHCP for the machines by dnsmasq: fixed addresses by MAC, and what to boot."""

from __future__ import annotations

import signal
from collections.abc import Collection, Mapping

from kadeploy.lab import processes
from kadeploy.lab.plan import IPV6_PREFIX, SERVER_ADDRESS, LabPlan

HOSTS = "dnsmasq.hosts"
RECORD = "dnsmasq.pid"


def configuration(plan: LabPlan) -> str:
    """dnsmasq.conf: DHCP only, on the lab's bridge, for the lab's machines only."""
    boot = f"{plan.boot_file},,{SERVER_ADDRESS}" if plan.boot_program == "pxelinux" else plan.boot_file
    lines = [
        "port=0",  # no DNS
        "keep-in-foreground",
        "interface=br0",
        "bind-interfaces",
        "user=root",  # the state directory is root's alone
        "group=root",
        # Its own, else labs that are brought up at the same time meet at the same one.
        f"pid-file={plan.state}/dnsmasq.own-pid",
        f"dhcp-leasefile={plan.state}/dnsmasq.leases",
        "dhcp-authoritative",
        "dhcp-range=172.31.0.0,static,255.255.0.0,1h",
        "dhcp-ignore=tag:!known",
        "dhcp-option=option:router",  # empty: the lab has no router
        "dhcp-option=option:dns-server",
        "dhcp-option=option:domain-name",
        "log-facility=-",
        "log-dhcp",
        # Otherwise iPXE asks proxy DHCP servers, and waits for them.
        "dhcp-option=encap:175,176,1b",
        # iPXE solicits an IPv6 router before it uses its IPv4 address; without an answer it waits for 16 s.
        # A router lifetime of 0 says that there is no default route over IPv6 either.
        "enable-ra",
        f"dhcp-range={IPV6_PREFIX},ra-only,64,1h",
        "ra-param=br0,60,0",
        f"dhcp-boot={boot}",
        f"dhcp-hostsfile={plan.state}/{HOSTS}",
    ]
    return "\n".join(lines) + "\n"


def hosts(plan: LabPlan, ignored: Collection[str] = (), names: Mapping[str, str] | None = None) -> str:
    """The file of the machines; those ``ignored`` get no answer, ``names`` maps some to other names."""
    names = names or {}
    lines = (
        f"{node.mac},ignore"
        if node.name in ignored
        else f"{node.mac},{node.address},{names.get(node.name, node.name)},1h"
        for node in plan.nodes
    )
    return "\n".join(lines) + "\n"


def change_hosts(plan: LabPlan, ignored: Collection[str], names: Mapping[str, str]) -> None:
    """Write the file of the machines anew, and let dnsmasq read it; leases stay as they are."""
    (plan.state / HOSTS).write_text(hosts(plan, ignored, names))
    processes.send(str(plan.state / RECORD), signal.SIGHUP)


def arguments(plan: LabPlan) -> list[str]:
    """The command line of dnsmasq."""
    return ["dnsmasq", f"--conf-file={plan.state}/dnsmasq.conf"]
