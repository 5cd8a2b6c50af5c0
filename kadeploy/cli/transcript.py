# SPDX-License-Identifier: Apache-2.0
"""Transcript of an operation as plain lines, in the shapes that scripts of Kadeploy3's users parse.

Nodes arrive one by one, for steps are pipelined; equal events of several nodes within a moment become one
line with the folded node set. The moments are those of the events, so that whoever reads them from their log,
then or later, writes the same lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kadeploy.cli.labels import DEPLOYMENT, Label, label
from kadeploy.cli.transfers import Transfers, remarks
from kadeploy.nodes import fold
from kadeploy.vocabulary.deployment import SEND_ENVIRONMENT
from kadeploy.vocabulary.workflow import State
from kadeploy.workflow import event_data
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from kadeploy.workflow.failure import LEFT_BEHIND, reason
from kadeploy.workflow.phase import Phase

MOMENT = 0.2  # seconds in which equal happenings are gathered into one line
LATENESS = 0.5  # seconds for which the events of a moment may come late that are read from a log, in batches


@dataclass(slots=True)
class Transcript:
    """Subscriber that writes lines up to a level.

    0 the operation, 1 macro-steps, 2 failures, 3 micro-steps, 4 their times, 5 each node. ``lateness``:
    seconds for which a moment waits for events that come late.
    """

    level: int
    write: Callable[[str], None]
    lateness: float = 0.0
    _label: Label = field(init=False, default=DEPLOYMENT)
    _prefixes: dict[str, str] = field(init=False, default_factory=dict)  # by cluster, if there are several
    _moment: dict[tuple[str, str], list[str]] = field(init=False, default_factory=dict)
    _began: float = field(init=False, default=0.0)  # the moment, by its first event
    _flush: asyncio.TimerHandle | None = field(init=False, default=None)
    _files: set[str] = field(init=False, default_factory=set)
    _queued: bool = field(init=False, default=False)
    _transfers: dict[str, Transfers] = field(init=False, default_factory=dict)  # by cluster

    def take(self, event: Event) -> None:
        """Write what a user is told of an event."""
        if event.wid:
            self._label = label(event.wid)
        match event.kind:
            case EventKind.IN_QUEUE:
                self._line(0, f"Nodes are in use: {event_data.place_of(event)}")
            case EventKind.FILE:
                self._file(event)
            case EventKind.STARTED:
                self._started(event)
            case EventKind.SPARES_STARTED:
                self._gather(event, 1, "The spare nodes {} take the places of failed ones", event.nodes)
            case EventKind.QUEUED:
                if event.nodes and not self._queued:  # once, until none of them waits any more
                    self._line(3, f"  {event_data.queue_of(event)}")
                self._queued = bool(event.nodes)
            case EventKind.WARNING:
                self._line(0, f"warning: {event_data.warning_of(event)}")
            case EventKind.ENDED:
                self.flush()
                # One that was refused to go on is still what it was: nothing was done.
                done = event_data.state_of(event) in (State.DONE, State.HELD)
                if done and not event_data.refusal_of(event):
                    self._line(0, f"{self._label.title} #{event.wid} done")
            case EventKind.TRANSFERRING | EventKind.RECEIVED:
                self._broadcast(event)
            case _:
                self._take_of_node(event)

    def _take_of_node(self, event: Event) -> None:
        match event.kind:
            case EventKind.INSTANCE_STARTED:
                again = f" (attempt {event.attempt + 1})" if event.attempt else ""
                text = f"Performing a {self._label.macro}[{event.instance}] step{again} on {{}}"
                self._gather(event, 1, text, event.nodes)
            case EventKind.INSTANCE_ENDED:
                name = f"{self._label.macro}[{event.instance}]"
                done = f"Step {name} failed for" if event.failure else f"End of step {name} for"
                self._gather(event, 1, f"{done} {{}} after {event.seconds:.0f}s", event.nodes)
            case EventKind.STEP_STARTED:
                self._step_started(event)
            case EventKind.STEP_ENDED:
                self._step_ended(event)
            case EventKind.STEP_CLEARED:
                self._step_cleared(event)
            case EventKind.WAITING:
                present = event_data.present_of(event)
                many = f"{present} nodes wait" if present > 1 else "a node waits"
                text = f"  {event.micro_step}: {many} up to {event.seconds:.0f}s for {{}}"
                self._gather(event, 3, text, event.nodes)
            case EventKind.NODE_ENDED:
                self._node_ended(event)

    # Operation ------------------------------------------------------------------------------------

    def _file(self, event: Event) -> None:
        file = event_data.file_of(event)
        if file.source not in self._files:
            self._files.add(file.source)
            name = "tarball" if file.what == "image" else file.what
            self._line(3, f"Grab the {name} file {file.source}")

    def _started(self, event: Event) -> None:
        clusters = event_data.clusters_of(event)
        self._line(0, f"{self._label.title} #{event.wid} started")
        if len(clusters) > 1:
            self._prefixes = {cluster.cluster: f"[{cluster.prefix}] " for cluster in clusters}
            self._line(0, "---")
            for cluster in clusters:
                self._line(0, f"[{cluster.prefix}] {cluster.cluster}: {fold(cluster.nodes)}")
            self._line(0, "---")
        for cluster in clusters:
            prefix = self._prefixes.get(cluster.cluster, "")
            self._line(0, f"{prefix}Launching a {self._label.name} on {fold(cluster.nodes)}")

    # Broadcasts -----------------------------------------------------------------------------------

    def _broadcast(self, event: Event) -> None:
        if event.kind is EventKind.TRANSFERRING:
            transfers = self._transfers.get(event.cluster)
            if transfers and (line := transfers.add(event_data.progress_of(event), event.at)):
                self._line(3, f"{self._prefix(event)}   * {line}")
            return
        receptions = event_data.receptions_of(event)
        for remark, nodes in remarks(reception for reception in receptions if not reception.ok).items():
            self._gather(event, 2, remark, nodes)
        for remark, nodes in remarks(reception for reception in receptions if reception.ok).items():
            self._gather(event, 3, remark, nodes)

    # Nodes ----------------------------------------------------------------------------------------

    def _step_started(self, event: Event) -> None:
        self._gather(event, 3, f"  {event.micro_step} on {{}}", event.nodes)
        if event.micro_step == SEND_ENVIRONMENT:
            self._transfers.setdefault(event.cluster, Transfers()).begin(event.nodes, event.at)

    def _step_ended(self, event: Event) -> None:
        step, failure = event.micro_step, event.failure
        if step == SEND_ENVIRONMENT and event.cluster in self._transfers:
            self._transfers[event.cluster].end(event.node)
        if failure:
            text = f"!!! The nodes {{}} failed on step {step}: {_literal(reason(failure))}"
            self._gather(event, 2, text, event.nodes)
        else:
            self._gather(event, 5, f"   * {step} ended on {{}} after {event.seconds:.1f}s", event.nodes)

    def _step_cleared(self, event: Event) -> None:
        if event.micro_step == SEND_ENVIRONMENT:
            self._gather(event, 3, f"   * Broadcast time: {event.seconds:.0f}s", [])
        self._gather(event, 4, f"   ~ Time in {event.place}: {event.seconds:.0f}s", [])

    def _node_ended(self, event: Event) -> None:
        step, phase, failure = event.micro_step, event.phase, event.failure
        if phase is Phase.HELD and failure == LEFT_BEHIND:
            self._gather(event, 2, f"*** {{}} held on {step}, {LEFT_BEHIND.reason}", event.nodes)
        elif phase is Phase.HELD and failure:
            self._gather(event, 2, f"*** {{}} held on {step}, where it failed", event.nodes)
        elif phase is Phase.HELD:
            self._gather(event, 2, f"*** Breakpoint on {step} reached for {{}}", event.nodes)
        elif phase is Phase.ABORTED:
            self._gather(event, 2, f"!!! {{}} aborted: {_literal(reason(failure))}", event.nodes)
        elif phase is Phase.OK:
            self._gather(event, 1, f"End of {self._label.name} for {{}}", event.nodes)

    # Lines ----------------------------------------------------------------------------------------

    def _gather(self, event: Event, level: int, template: str, nodes: Sequence[str]) -> None:
        if level > self.level:
            return
        if self._moment and abs(event.at - self._began) > MOMENT:  # also where the clock was put back
            self.flush()
        if not self._moment:
            self._began = event.at
        self._moment.setdefault((self._prefix(event), template), []).extend(nodes)
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(MOMENT + self.lateness, self.flush)

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

    def _prefix(self, event: Event) -> str:
        return self._prefixes.get(event.cluster, "")


def _literal(text: str) -> str:
    """Text in which braces are no placeholders."""
    return text.replace("{", "{{").replace("}", "}}")
