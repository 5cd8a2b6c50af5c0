# SPDX-License-Identifier: Apache-2.0
"""Transfers of a broadcast: progress and rate per node, and a line for all every few seconds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kadeploy.cli.throughput import Throughput, size
from kadeploy.workflow.event_data import ToldReception, TransferProgress

LINE_INTERVAL = 2.0  # seconds between two lines, and before the first one


@dataclass(slots=True)
class NodeTransfer:
    """Transfer to one node: its last progress, and the rates of receiving and consuming."""

    latest: TransferProgress | None = None
    received: Throughput = field(default_factory=Throughput)
    consumed: Throughput = field(default_factory=Throughput)

    def add(self, progress: TransferProgress, now: float) -> None:
        """Record the progress."""
        self.received.add(progress.received, now)
        self.consumed.add(progress.consumed, now)
        self.latest = progress

    @property
    def complete(self) -> bool:
        """True if the consumer has taken everything."""
        return self.latest is not None and self.latest.consumed >= self.latest.size


@dataclass(slots=True)
class Transfers:
    """Transfers to the nodes of one cluster that are in a broadcast."""

    _nodes: dict[str, NodeTransfer] = field(init=False, default_factory=dict)
    _due: float = field(init=False, default=0.0)

    def begin(self, nodes: Iterable[str], now: float) -> None:
        """Add nodes, also while others are in the broadcast."""
        if not self._nodes:
            self._due = now + LINE_INTERVAL
        self._nodes |= {node: NodeTransfer() for node in nodes}

    def end(self, node: str) -> None:
        """Remove a node that has a verdict."""
        self._nodes.pop(node, None)

    def add(self, made: Iterable[TransferProgress], now: float) -> str:
        """Record the progress of nodes; returns a line if one is due, else ''."""
        known = [progress for progress in made if progress.node in self._nodes]
        for progress in known:
            self._nodes[progress.node].add(progress, now)
        if not known or now < self._due or all(node.complete for node in self._nodes.values()):
            return ""
        self._due = now + LINE_INTERVAL
        return self._describe(known[0].size)

    def _describe(self, total: int) -> str:
        running = [node for node in self._nodes.values() if not node.complete]
        done = min(node.latest.consumed if node.latest else 0 for node in running)
        rate = statistics.median(node.consumed.rate for node in running)
        count = f"{len(self._nodes)} nodes" if len(self._nodes) > 1 else "1 node"
        left = f", {(total - done) / rate:.0f} s left" if rate else ""
        complete = f"{len(self._nodes) - len(running)} of {count} complete"
        return f"Broadcast: {complete}, the slowest at {100 * done // total} %, {size(rate)}/s{left}"


def place(progress: TransferProgress) -> str:
    """Place of a node in its chain, and its feeder: ``2 < node-1``."""
    if not progress.upstream:
        return "waiting"
    lane = f"lane {progress.lane}: " if progress.lane else ""
    return f"{lane}{progress.position} < {progress.upstream}"


def remarks(receptions: Iterable[ToldReception]) -> Mapping[str, Sequence[str]]:
    """Remarks on nodes' ways through a broadcast, sentences with {} for nodes, mapped to these nodes."""
    found: dict[str, list[str]] = {}
    for reception in receptions:
        if reception.notes:
            found.setdefault(_remark(reception), []).append(reception.node)
    return found


def _remark(reception: ToldReception) -> str:
    notes = "; ".join(reception.notes).replace("{", "{{").replace("}", "}}")
    if not reception.moved:
        return f"   * {notes}: {{}}"
    end = "then it was ok" if reception.ok else "then it failed"
    return f"   * {{}} was taken out of its chain: {notes}; {end}, in lane {reception.lane}"
