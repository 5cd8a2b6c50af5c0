# SPDX-License-Identifier: Apache-2.0
"""Statistics of a workflow: rows for kastat, made of its events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from kadeploy.store.statistics import Record, StepRun
from kadeploy.workflow.automaton import Automaton
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from kadeploy.workflow.failure import reason
from kadeploy.workflow.phase import Phase


@dataclass(slots=True)
class _MacroFigures:
    """The last instance of a macro-step on one node; retries count fallbacks too, from -1."""

    instance: str = ""
    timeout: int = 0
    retries: int = -1
    seconds: float = 0.0


_NO_MACROS = (_MacroFigures(), _MacroFigures())  # operations have from one to three


@dataclass(slots=True)
class _NodeFigures:
    macros: tuple[_MacroFigures, ...]
    success: bool = False
    error: str = ""
    cause: str = ""


@dataclass(slots=True)
class Recorder:
    """Collects what happened to the nodes of one automaton."""

    automaton: Automaton
    runs: list[StepRun] = field(default_factory=list)
    _nodes: dict[str, _NodeFigures] = field(init=False, default_factory=dict)

    def take(self, event: Event) -> None:
        """Take an event of the state machine into account."""
        match event.kind:
            case EventKind.INSTANCE_STARTED:
                figures = self._macro(event)
                figures.instance = event.instance
                instance = self.automaton.instance(self.automaton.position_of(event))
                figures.timeout = int(instance.timeout.seconds(1))
                figures.retries += 1
            case EventKind.INSTANCE_ENDED:
                self._macro(event).seconds = event.seconds
            case EventKind.STEP_ENDED:
                self.runs.append(_run(event))
            case EventKind.NODE_ENDED:
                node = self._node(event.node)
                node.success = event.phase is Phase.OK
                node.error = describe(event)
                node.cause = event.failure.cause if event.failure else ""

    def _node(self, name: str) -> _NodeFigures:
        macros = tuple(_MacroFigures() for _ in self.automaton.macrosteps)
        return self._nodes.setdefault(name, _NodeFigures(macros))

    def _macro(self, event: Event) -> _MacroFigures:
        return self._node(event.node).macros[self.automaton.position_of(event).macro]

    def records(
        self, *, wid: str, user: str, start: float, env: str = "", digest: str = ""
    ) -> Iterable[Record]:
        """One row per node; ``start`` in seconds since the epoch, ``env`` as name:version."""
        for name, node in self._nodes.items():
            one, two, three = (*node.macros, *_NO_MACROS)[:3]
            yield Record(
                wid=wid,
                user=user,
                hostname=name,
                step1=one.instance,
                step2=two.instance,
                step3=three.instance,
                timeout_step1=one.timeout,
                timeout_step2=two.timeout,
                timeout_step3=three.timeout,
                retry_step1=max(one.retries, 0),
                retry_step2=max(two.retries, 0),
                retry_step3=max(three.retries, 0),
                start=start,
                step1_duration=one.seconds,
                step2_duration=two.seconds,
                step3_duration=three.seconds,
                env=env,
                md5=digest,
                success=node.success,
                error=node.error,
                cause=node.cause,
            )


def _run(event: Event) -> StepRun:
    failure = event.failure
    return StepRun(
        node=event.node,
        macro=event.macro_step,
        instance=event.instance,
        attempt=event.attempt,
        micro=event.micro_step,
        started_at=event.started,
        duration=event.seconds,
        ok=failure is None,
        reason=failure.reason if failure else "",
        cause=failure.cause if failure else "",
    )


def describe(ended: Event) -> str:
    """``Instance-micro: reason`` of a node that has not come to a good end, else ''."""
    return f"{ended.place}: {reason(ended.failure)}" if ended.failure else ""
