# SPDX-License-Identifier: Apache-2.0
"""The ways to bring a file to many nodes that are compared, by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks import peers

from . import chains, kadeploy_methods, multicast, star, swarm, tree
from .crew import Crew
from .loads import Load

# Starts the agents, then the source, in time with the crew's clock. Returns figures that take the place of
# the crew's own (by the names of a sample's fields), or come beside them.
Race = Callable[[Crew, Load], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Method:
    """One way. `packages` maps a program it needs to the package of Debian that has it.

    `kinds` are the loads it can take as a stream or a file; a star sends the file once for each node.
    """

    name: str
    race: Race
    packages: Mapping[str, str] = field(default_factory=dict)
    kinds: tuple[str, ...] = ("file", "tree")
    star: bool = False

    def missing(self) -> str:
        """The command line that gets what it lacks before it can run; '' if nothing."""
        absent = sorted({name for program, name in self.packages.items() if not find_program(program)})
        return peers.by_apt(*absent) if absent else ""


def find_program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def _ours(name: str) -> Method:
    return Method(name, kadeploy_methods.race(name), star=name == kadeploy_methods.HTTP)


METHODS = {
    method.name: method
    for method in (
        *(_ours(name) for name in kadeploy_methods.BROADCASTS),
        Method("mbuffer", chains.mbuffer, {"mbuffer": "mbuffer"}),
        Method("udpcast", multicast.udpcast, {"udp-sender": "udpcast", "udp-receiver": "udpcast"}),
        Method("uftp", multicast.uftp, {"uftp": "uftp", "uftpd": "uftp"}, kinds=("file",)),
        Method(
            "bittorrent",
            swarm.aria2,
            {"aria2c": "aria2", "mktorrent": "mktorrent", "opentracker": "opentracker"},
            kinds=("file",),
        ),
        Method(
            "taktuk",
            tree.taktuk,
            {"taktuk": "taktuk", "sshd": "openssh-server", "ssh": "openssh-client"},
            kinds=("file",),
        ),
        Method("nginx+curl", star.nginx, {"nginx": "nginx-light", "curl": "curl"}, star=True),
    )
}
QUICK = ("kadeploy", "mbuffer", "udpcast", "nginx+curl")
