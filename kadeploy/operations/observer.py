# SPDX-License-Identifier: Apache-2.0
"""Observers of an operation: who shows what happens while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kadeploy.broadcast.interface import BroadcastProgress
from kadeploy.store.receptions import Reception
from kadeploy.workflow.automaton import Automaton
from kadeploy.workflow.notices import Notice


@dataclass(frozen=True, slots=True)
class ObservedCluster:
    """Nodes of one cluster in an operation, and their automaton; ``prefix`` marks its lines in logs.

    ``spares`` begin later, each when another node has failed.
    """

    cluster: str
    prefix: str
    nodes: tuple[str, ...]
    automaton: Automaton
    spares: tuple[str, ...] = ()


class Observer(Protocol):
    """Observer of an operation; its methods are called in the order of what happens, and must not block."""

    def started(self, wid: str, clusters: Sequence[ObservedCluster]) -> None:
        """The operation begins."""

    def grabbed(self, what: str, source: str, done: int, total: int) -> None:
        """A file is being copied to this machine or digested: bytes of total (0: not known)."""

    def noticed(self, cluster: ObservedCluster, notice: Notice) -> None:
        """Something happened to nodes."""

    def replaced(self, cluster: ObservedCluster, spares: Sequence[str]) -> None:
        """Spares begin, in the places of nodes that have failed."""

    def transferred(self, progress: BroadcastProgress) -> None:
        """The broadcast has made progress on a node."""

    def received(self, cluster: ObservedCluster, receptions: Sequence[Reception]) -> None:
        """A broadcast has ended for these nodes; their verdicts follow."""

    def queued(self, window: str, nodes: Sequence[str], size: int) -> None:
        """Nodes have waited for seconds for one of the slots of a window; no others wait so long."""

    def ended(self, wid: str) -> None:
        """The operation ends."""
