# SPDX-License-Identifier: Apache-2.0
"""Transcript of an operation as plain lines, in the shapes that scripts of Kadeploy3's users parse.

Nodes arrive one by one, for steps are pipelined; equal events of several nodes within a moment become one
line with the folded node set.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kadeploy.broadcast.interface import BroadcastProgress
from kadeploy.cli.labels import DEPLOYMENT, Label, label
from kadeploy.cli.transfers import Transfers, remarks
from kadeploy.nodes import fold
from kadeploy.operations.observer import ObservedCluster
from kadeploy.operations.run.recorder import reason
from kadeploy.store.receptions import Reception
from kadeploy.vocabulary.deployment import SEND_ENVIRONMENT
from kadeploy.workflow.failure import LEFT_BEHIND
from kadeploy.workflow.notices import (
    InstanceEnded,
    InstanceStarted,
    NodeEnded,
    Notice,
    StepCleared,
    StepEnded,
    StepStarted,
    Waiting,
)
from kadeploy.workflow.phase import Phase

MOMENT = 0.2  # seconds in which equal happenings are gathered into one line


@dataclass(slots=True)
class Transcript:
    """Observer that writes lines up to a level.

    0 the operation, 1 macro-steps, 2 failures, 3 micro-steps, 4 their times, 5 each node.
    """

    level: int
    write: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    _clusters: tuple[ObservedCluster, ...] = field(init=False, default=())
    _label: Label = field(init=False, default=DEPLOYMENT)
    _moment: dict[tuple[str, str], list[str]] = field(init=False, default_factory=dict)
    _flush: asyncio.TimerHandle | None = field(init=False, default=None)
    _grabbed: set[str] = field(init=False, default_factory=set)
    _queued: int = field(init=False, default=0)
    _transfers: dict[str, Transfers] = field(init=False, default_factory=dict)  # by cluster

    def started(self, wid: str, clusters: Sequence[ObservedCluster]) -> None:
        self._clusters = tuple(clusters)
        self._label = label(wid)
        self._line(0, f"{self._label.title} #{wid} started")
        if len(clusters) > 1:
            self._line(0, "---")
            for cluster in clusters:
                self._line(0, f"[{cluster.prefix}] {cluster.cluster}: {fold(cluster.nodes)}")
            self._line(0, "---")
        for cluster in clusters:
            self._line(0, self._prefix(cluster) + f"Launching a {self._label.name} on {fold(cluster.nodes)}")

    def grabbed(self, what: str, source: str, done: int, total: int) -> None:
        if source not in self._grabbed:
            self._grabbed.add(source)
            name = "tarball" if what == "image" else what
            self._line(3, f"Grab the {name} file {source}")

    def replaced(self, cluster: ObservedCluster, spares: Sequence[str]) -> None:
        self._gather(cluster, 1, "The spare nodes {} take the places of failed ones", spares)

    def transferred(self, progress: BroadcastProgress) -> None:
        for cluster in self._clusters:
            if cluster.cluster not in self._transfers:
                continue
            if line := self._transfers[cluster.cluster].add(progress, self.clock()):
                self._line(3, f"{self._prefix(cluster)}   * {line}")

    def received(self, cluster: ObservedCluster, receptions: Sequence[Reception]) -> None:
        for remark, nodes in remarks(reception for reception in receptions if not reception.ok).items():
            self._gather(cluster, 2, remark, nodes)
        for remark, nodes in remarks(reception for reception in receptions if reception.ok).items():
            self._gather(cluster, 3, remark, nodes)

    def queued(self, window: str, nodes: Sequence[str], size: int) -> None:
        if nodes and not self._queued:  # once, until none of them waits any more
            self._line(3, f"  {describe_queue(window, nodes, size)}")
        self._queued = len(nodes)

    def ended(self, wid: str) -> None:
        self.flush()
        self._line(0, f"{self._label.title} #{wid} done")

    def noticed(self, cluster: ObservedCluster, notice: Notice) -> None:
        match notice:
            case InstanceStarted():
                again = f" (attempt {notice.attempt + 1})" if notice.attempt else ""
                name = cluster.automaton.instance(notice.position).name
                self._gather(
                    cluster, 1, f"Performing a {self._label.macro}[{name}] step{again} on {{}}", [notice.node]
                )
            case StepStarted():
                step = cluster.automaton.microstep(notice.position).name
                self._gather(cluster, 3, f"  {step} on {{}}", notice.nodes)
                if step == SEND_ENVIRONMENT:
                    transfers = self._transfers.setdefault(cluster.cluster, Transfers())
                    transfers.begin(notice.nodes, self.clock())
            case StepEnded():
                self._step_ended(cluster, notice)
            case StepCleared():
                self._step_cleared(cluster, notice)
            case InstanceEnded():
                self._instance_ended(cluster, notice)
            case Waiting():
                step = cluster.automaton.microstep(notice.position).name
                many = f"{notice.present} nodes wait" if notice.present > 1 else "a node waits"
                limit = f"up to {notice.seconds:.0f}s"
                self._gather(cluster, 3, f"  {step}: {many} {limit} for {{}}", notice.awaited)
            case NodeEnded():
                self._node_ended(cluster, notice)

    def _step_ended(self, cluster: ObservedCluster, notice: StepEnded) -> None:
        step = cluster.automaton.microstep(notice.position).name
        if step == SEND_ENVIRONMENT and cluster.cluster in self._transfers:
            self._transfers[cluster.cluster].end(notice.node)
        if notice.failure:
            text = f"!!! The nodes {{}} failed on step {step}: {_literal(reason(notice.failure))}"
            self._gather(cluster, 2, text, [notice.node])
        else:
            self._gather(cluster, 5, f"   * {step} ended on {{}} after {notice.seconds:.1f}s", [notice.node])

    def _step_cleared(self, cluster: ObservedCluster, notice: StepCleared) -> None:
        name = cluster.automaton.instance(notice.position).name
        step = cluster.automaton.microstep(notice.position).name
        if step == SEND_ENVIRONMENT:
            self._gather(cluster, 3, f"   * Broadcast time: {notice.seconds:.0f}s", [])
        self._gather(cluster, 4, f"   ~ Time in {name}-{step}: {notice.seconds:.0f}s", [])

    def _instance_ended(self, cluster: ObservedCluster, notice: InstanceEnded) -> None:
        name = f"{self._label.macro}[{cluster.automaton.instance(notice.position).name}]"
        done = f"Step {name} failed for" if notice.failure else f"End of step {name} for"
        self._gather(cluster, 1, f"{done} {{}} after {notice.seconds:.0f}s", [notice.node])

    def _node_ended(self, cluster: ObservedCluster, notice: NodeEnded) -> None:
        step = cluster.automaton.microstep(notice.position).name
        if notice.phase is Phase.HELD and notice.failure == LEFT_BEHIND:
            self._gather(cluster, 2, f"*** {{}} held on {step}, {LEFT_BEHIND.reason}", [notice.node])
        elif notice.phase is Phase.HELD and notice.failure:
            self._gather(cluster, 2, f"*** {{}} held on {step}, where it failed", [notice.node])
        elif notice.phase is Phase.HELD:
            self._gather(cluster, 2, f"*** Breakpoint on {step} reached for {{}}", [notice.node])
        elif notice.phase is Phase.ABORTED:
            self._gather(cluster, 2, f"!!! {{}} aborted: {_literal(reason(notice.failure))}", [notice.node])
        elif notice.phase is Phase.OK:
            self._gather(cluster, 1, f"End of {self._label.name} for {{}}", [notice.node])

    # Lines ----------------------------------------------------------------------------------------

    def _gather(self, cluster: ObservedCluster, level: int, template: str, nodes: Sequence[str]) -> None:
        if level > self.level:
            return
        self._moment.setdefault((self._prefix(cluster), template), []).extend(nodes)
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(MOMENT, self.flush)

    def flush(self) -> None:
        """Write the gathered lines."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        gathered, self._moment = self._moment, {}
        for (prefix, template), nodes in gathered.items():
            self.write(prefix + template.format(fold(nodes)))

    def _line(self, level: int, text: str) -> None:
        if level <= self.level:
            self.flush()
            self.write(text)

    def _prefix(self, cluster: ObservedCluster) -> str:
        return f"[{cluster.prefix}] " if len(self._clusters) > 1 else ""


def describe_queue(window: str, nodes: Sequence[str], size: int) -> str:
    """Text of a queue: ``12 nodes wait for the reboot window (size 50)``."""
    who = "1 node waits" if len(nodes) == 1 else f"{len(nodes)} nodes wait"
    return f"{who} for the {window} window (size {size})"


def _literal(text: str) -> str:
    """Text in which braces are no placeholders."""
    return text.replace("{", "{{").replace("}", "}}")
