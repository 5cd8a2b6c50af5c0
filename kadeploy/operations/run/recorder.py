# SPDX-License-Identifier: Apache-2.0
"""Statistics of a workflow: rows for kastat, made of its notices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from kadeploy.store.statistics import Record, StepRun
from kadeploy.workflow.automaton import Automaton
from kadeploy.workflow.failure import Failure
from kadeploy.workflow.notices import InstanceEnded, InstanceStarted, NodeEnded, Notice, StepEnded
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

    def observe(self, notice: Notice) -> None:
        """Take one notice of the machine into account."""
        match notice:
            case InstanceStarted():
                figures = self._macro(notice)
                instance = self.automaton.instance(notice.position)
                figures.instance = instance.name
                figures.timeout = int(instance.timeout.seconds(1))
                figures.retries += 1
            case InstanceEnded():
                self._macro(notice).seconds = notice.seconds
            case StepEnded():
                self.runs.append(self._run(notice))
            case NodeEnded():
                node = self._node(notice.node)
                node.success = notice.phase is Phase.OK
                node.error = describe(self.automaton, notice)
                node.cause = notice.failure.cause if notice.failure else ""

    def _node(self, name: str) -> _NodeFigures:
        macros = tuple(_MacroFigures() for _ in self.automaton.macrosteps)
        return self._nodes.setdefault(name, _NodeFigures(macros))

    def _macro(self, notice: InstanceStarted | InstanceEnded) -> _MacroFigures:
        return self._node(notice.node).macros[notice.position.macro]

    def _run(self, notice: StepEnded) -> StepRun:
        return StepRun(
            node=notice.node,
            macro=self.automaton.macrosteps[notice.position.macro].name,
            instance=self.automaton.instance(notice.position).name,
            attempt=notice.attempt,
            micro=self.automaton.microstep(notice.position).name,
            started_at=notice.started,
            duration=notice.seconds,
            ok=notice.failure is None,
            reason=notice.failure.reason if notice.failure else "",
            cause=notice.failure.cause if notice.failure else "",
        )

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


def describe(automaton: Automaton, ended: NodeEnded) -> str:
    """``Macro-micro: reason`` of a node that has not come to a good end, else ''."""
    return f"{place(automaton, ended)}: {reason(ended.failure)}" if ended.failure else ""


def place(automaton: Automaton, ended: NodeEnded) -> str:
    """``Instance-micro`` where a node ended."""
    return f"{automaton.instance(ended.position).name}-{automaton.microstep(ended.position).name}"


def reason(failure: Failure | None) -> str:
    """One line, whatever a node or a tool wrote into it."""
    return " ".join(failure.reason.split()) if failure else ""
