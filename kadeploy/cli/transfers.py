# SPDX-License-Identifier: Apache-2.0
"""How far the nodes of a broadcast are, and how fast: one by one, and in a line every few seconds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kadeploy.steps.deployment import Transfer
from kadeploy.store.receptions import Reception

RATE_WINDOW = 5.0  # seconds over which a node's rate is measured
LINE_INTERVAL = 2.0  # seconds between two lines, and before the first one


@dataclass(slots=True)
class NodeTransfer:
    """One node; times in seconds, whatever they count from."""

    samples: Sequence[tuple[float, Transfer]] = ()

    def add(self, transfer: Transfer, now: float) -> None:
        """Its news."""
        recent = [sample for sample in self.samples if now - sample[0] <= RATE_WINDOW]
        self.samples = [*recent, (now, transfer)]  # at once: another thread draws

    @property
    def latest(self) -> Transfer:
        return self.samples[-1][1]

    @property
    def complete(self) -> bool:
        """Its consumer has taken everything."""
        return bool(self.samples) and self.latest.consumed >= self.latest.total

    @property
    def received_rate(self) -> float:
        """Bytes per second lately."""
        return self._rate([(at, transfer.received) for at, transfer in self.samples])

    @property
    def consumed_rate(self) -> float:
        """Bytes per second that its consumer took lately."""
        return self._rate([(at, transfer.consumed) for at, transfer in self.samples])

    def _rate(self, samples: Sequence[tuple[float, int]]) -> float:
        if not samples:
            return 0.0
        (first, start), (last, end) = samples[0], samples[-1]
        return (end - start) / (last - first) if last > first else 0.0


@dataclass(slots=True)
class Transfers:
    """The nodes of one cluster that are in a broadcast."""

    _nodes: dict[str, NodeTransfer] = field(default_factory=dict)
    _due: float = 0.0

    def begin(self, nodes: Iterable[str], now: float) -> None:
        """Nodes come in, at once or later than others."""
        if not self._nodes:
            self._due = now + LINE_INTERVAL
        self._nodes |= {node: NodeTransfer() for node in nodes}

    def end(self, node: str) -> None:
        """There is a verdict on it."""
        self._nodes.pop(node, None)

    def add(self, transfer: Transfer, now: float) -> str:
        """The news of a node; returns a line where one is due, else ''."""
        if transfer.node not in self._nodes:
            return ""
        self._nodes[transfer.node].add(transfer, now)
        if now < self._due or all(node.complete for node in self._nodes.values()):
            return ""
        self._due = now + LINE_INTERVAL
        return self._describe(transfer.total)

    def _describe(self, total: int) -> str:
        running = [node for node in self._nodes.values() if not node.complete]
        done = min(node.latest.consumed if node.samples else 0 for node in running)
        rate = statistics.median(node.consumed_rate for node in running)
        count = f"{len(self._nodes)} nodes" if len(self._nodes) > 1 else "1 node"
        left = f", {(total - done) / rate:.0f} s left" if rate else ""
        complete = f"{len(self._nodes) - len(running)} of {count} complete"
        return f"Broadcast: {complete}, the slowest at {100 * done // total} %, {size(rate)}/s{left}"


def place(transfer: Transfer) -> str:
    """Where a node is in its chain, and who feeds it: ``2 < node-1``."""
    if not transfer.upstream:
        return "waiting"
    lane = f"lane {transfer.lane}: " if transfer.lane else ""
    return f"{lane}{transfer.position} < {transfer.upstream}"


def remarks(receptions: Iterable[Reception]) -> Mapping[str, Sequence[str]]:
    """Sentences, with {} for the nodes, that tell of their way through a broadcast, mapped to these nodes."""
    found: dict[str, list[str]] = {}
    for reception in receptions:
        if reception.notes:
            found.setdefault(_remark(reception), []).append(reception.node)
    return found


def _remark(reception: Reception) -> str:
    notes = "; ".join(reception.notes).replace("{", "{{").replace("}", "}}")
    if not reception.moved:
        return f"   * {notes}: {{}}"
    end = "then it was ok" if reception.ok else "then it failed"
    return f"   * {{}} was taken out of its chain: {notes}; {end}, in lane {reception.lane}"


def size(count: float) -> str:
    """Bytes, as people read them."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
