# SPDX-License-Identifier: Apache-2.0
"""Workbenches: the tools with which the steps of one cluster work, and the facts that they go by."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kadeploy.config.clusters import Node
from kadeploy.config.site import Site
from kadeploy.steps.facts import BootingFacts, ClusterFacts, DeploymentFacts, PowerFacts, RebootFacts
from kadeploy.steps.node_run import NodeRun

if TYPE_CHECKING:  # journals are read with the facts alone, by commands that touch no node
    from kadeploy.boot.health import BootHealth
    from kadeploy.boot.repository import BootRepository
    from kadeploy.broadcast.interface import BroadcastProgress
    from kadeploy.broadcast.shared import SharedBroadcast
    from kadeploy.environments.open_files import OpenFiles
    from kadeploy.power.control import PowerControl
    from kadeploy.remote.connection import NodeConnections
    from kadeploy.store.boot_orders import BootOrders
    from kadeploy.store.receptions import Reception

Facts = TypeVar("Facts", bound=ClusterFacts, covariant=True)

Slot = Callable[[str], AbstractAsyncContextManager[object]]


@dataclass(slots=True)
class NodeFacts:
    """Facts of one node that this operation has learned.

    It is recognised by the host key of the miniOS that was proven, later by the keys on its new disk.
    ``order``: number of the order by which it boots; ``fetched``: how often that profile had been fetched
    when the node was told to reboot. ``minios_key``: public host key of its miniOS, ``minios_proof``: level
    of its proof. ``written``: an image was begun to be unpacked since its file system was made. ``erased``:
    its disk is not what it was. ``left_minios``: it was ordered to leave the miniOS. ``profile_switched``:
    its boot profile is ours, ``previous_profile``: what was ordered before, None for nothing.
    ``console_size``: bytes of its recorded console at that reboot. ``power``: on or off, as last found.
    """

    order: int = 0
    fetched: int = 0
    minios_key: str = ""
    minios_proof: str = ""
    rebooted_at: float = 0.0
    written: bool = False
    erased: bool = False
    left_minios: bool = False
    console_size: int = 0
    profile_switched: bool = False
    previous_profile: str | None = None
    host_keys: tuple[str, ...] = ()
    power: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """Facts of the nodes by their names. ``keep`` writes those of one into the journal."""

    keep: Callable[[str, NodeFacts], Awaitable[None]]
    facts: dict[str, NodeFacts] = field(default_factory=dict)


async def allow(_: Sequence[str]) -> None:
    """Allow all orders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench(Generic[Facts]):
    """Tools of steps of any operation.

    ``probe`` is a node's slot for one look whether it answers, ``reboot`` its slot in the window of reboots,
    for a step that is admitted without one. ``keep_minios`` writes the key of a node's
    miniOS and the level of its proof where later operations find them. ``check`` raises LostNodesError where
    orders to nodes are not ours to give any more; ``remote``, ``power`` and ``orders`` ask it before each.
    """

    site: Site
    facts: Facts
    remote: NodeConnections
    boot: BootRepository
    orders: BootOrders
    health: BootHealth
    power: PowerControl
    memory: Memory
    probe: Slot
    keep_minios: Callable[[str, str, str], Awaitable[None]]
    check: Callable[[Sequence[str]], Awaitable[None]] = allow
    reboot: Slot = nullcontext

    def facts_of(self, node: Node) -> NodeFacts:
        """Facts of a node that this operation has learned."""
        return self.memory.facts.setdefault(node.name, NodeFacts())

    async def remember(self, node: Node, **changes: Any) -> None:
        """Change the facts of a node, and keep them before anything is done that relies on them."""
        facts = self.facts_of(node)
        for name, value in changes.items():
            setattr(facts, name, value)
        await self.memory.keep(node.name, facts)

    def minios_key(self, node: Node) -> str:
        """Public host key of the miniOS that a node has booted last, '' where none is known."""
        return self.facts_of(node).minios_key or self.facts.trusted_key

    async def remember_minios(self, node: Node) -> None:
        """Keep the key of the miniOS that a node has booted for the operations that follow."""
        facts = self.facts_of(node)
        await self.keep_minios(node.name, facts.minios_key, facts.minios_proof)


AnyWorkbench = Workbench[ClusterFacts]
PowerWorkbench = Workbench[PowerFacts]
BootingWorkbench = Workbench[BootingFacts]
RebootWorkbench = Workbench[RebootFacts]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentWorkbench(Workbench[DeploymentFacts]):
    """Tools of the steps of a deployment.

    ``chain``: the broadcast that late nodes join while it runs. ``received`` keeps results of broadcasts,
    ``progress`` is called with each progress of one. ``renewal`` makes a fresh file system on the target and
    mounts it. ``files``: those of the plan, open.
    """

    files: OpenFiles
    chain: SharedBroadcast
    received: Callable[[Sequence[Reception]], Awaitable[None]]
    progress: Callable[[BroadcastProgress], None]
    renewal: tuple[Callable[[DeploymentWorkbench, NodeRun], Awaitable[None]], ...]
