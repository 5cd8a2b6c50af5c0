# SPDX-License-Identifier: Apache-2.0
"""The workbench of one cluster in an operation: its nodes, and the tools that steps of any kind use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from kadeploy.boot.repository import BootRepository
from kadeploy.config.cluster import ClusterConfig
from kadeploy.config.clusters import Node
from kadeploy.config.site import Site
from kadeploy.power.control import PowerControl
from kadeploy.remote.connection import NodeConnections


@dataclass(slots=True)
class NodeFacts:
    """What this operation knows of a node.

    It is recognised by the token of the miniOS boot it was sent to, later by the keys on its new disk.
    ``written``: an image was begun to be unpacked since its file system was made. ``erased``: its disk is
    not what it was. ``left_minios``: it was ordered to leave the miniOS. ``profile_switched``: its boot
    profile is ours, ``previous_profile``: what it would have booted, None for its disk. ``console_size``:
    bytes of its recorded console at that reboot. ``power``: on or off, as it was last found.
    """

    boot_token: str = ""
    rebooted_at: float = 0.0
    written: bool = False
    erased: bool = False
    left_minios: bool = False
    console_size: int = 0
    profile_switched: bool = False
    previous_profile: str | None = None
    host_keys: tuple[str, ...] = ()
    power: str = ""


async def _forgetful(node: str, facts: NodeFacts) -> None:
    """Keeps nothing: for plans that are only looked at."""


@dataclass(slots=True)
class Memory:
    """What is known of the nodes, by their names. ``keep`` writes it where another engine will find it."""

    facts: dict[str, NodeFacts] = field(default_factory=dict)
    keep: Callable[[str, NodeFacts], Awaitable[None]] = _forgetful


@dataclass(slots=True)
class Probes:
    """``slot`` gives a node what it needs for a look whether it answers; without an operation, at once."""

    slot: Callable[[str], AbstractAsyncContextManager[object]] = nullcontext


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """What the steps of any operation share. ``nodes`` maps names to nodes."""

    site: Site
    cluster_name: str
    cluster: ClusterConfig
    nodes: Mapping[str, Node]
    remote: NodeConnections
    boot: BootRepository
    power: PowerControl
    memory: Memory = field(default_factory=Memory)
    probes: Probes = field(default_factory=Probes)

    def facts_of(self, node: Node) -> NodeFacts:
        """What is known of a node in this operation."""
        return self.memory.facts.setdefault(node.name, NodeFacts())

    async def remember(self, node: Node, **changes: Any) -> None:
        """Change what is known of a node, and keep it before anything is done that relies on it."""
        facts = self.facts_of(node)
        for name, value in changes.items():
            setattr(facts, name, value)
        await self.memory.keep(node.name, facts)


@dataclass(frozen=True, slots=True)
class MiniOs:
    """The deployment environment: its files' paths in the boot repository, and its public host key."""

    kernel: str
    initrd: str
    host_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BootingWorkbench(Workbench):
    """Workbench that are booted, at times into the miniOS."""

    minios: MiniOs
