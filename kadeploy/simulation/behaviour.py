# SPDX-License-Identifier: Apache-2.0
"""Behaviour of each micro-step of an automaton: by the file, else by the records, else by the defaults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from kadeploy.config.server import MEGABYTE
from kadeploy.errors import RequestError, RequestProblem
from kadeploy.simulation import defaults
from kadeploy.simulation.distribution import Distribution, Samples
from kadeploy.simulation.file import STEP_NAMES, SimulationFile, StepBehaviour
from kadeploy.store.samples import StepSamples
from kadeploy.vocabulary.duration import Constant, Transmission
from kadeploy.workflow.automaton import Automaton

StepName = tuple[str, str]  # instance, micro-step


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Behaviour of one micro-step; ``hop`` seconds are added for each node of a set-scoped step.

    ``failed`` is the duration of runs that fail. ``failures`` and ``hangs`` are shares of the runs.
    ``source`` names the origin of all this.
    """

    duration: Distribution
    failed: Distribution
    failures: float
    hangs: float
    source: str
    hop: float = 0.0


def of_automaton(
    automaton: Automaton, image_size: int, file: SimulationFile, records: Iterable[StepSamples]
) -> dict[StepName, Behaviour]:
    """Behaviour of every micro-step; ``image_size`` in bytes."""
    seen = {(samples.instance, samples.micro): samples for samples in records}
    return {name: _behaviour(name, image_size, file, seen) for name in _names(automaton)}


def check_names(file: SimulationFile, automata: Iterable[Automaton]) -> None:
    """Raises RequestError for a custom operation in the file that none of the automata has.

    Micro-steps may be in the file though they are bypassed: it is made for many deployments.
    """
    names = [name for automaton in automata for name in _names(automaton)]
    known = STEP_NAMES | {"-".join(name) for name in names} | {micro for _, micro in names}
    if unknown := [name for name in file.steps if name not in known]:
        message = f"this deployment has no micro-step {', '.join(unknown)}"
        raise RequestError([RequestProblem("simulation", message)])


def _names(automaton: Automaton) -> Iterator[StepName]:
    for macro in automaton.macrosteps:
        for instance in macro.instances:
            yield from ((instance.name, step.name) for step in instance.microsteps)


def _behaviour(
    name: StepName, image_size: int, file: SimulationFile, seen: Mapping[StepName, StepSamples]
) -> Behaviour:
    behaviour = _by_default(name, image_size)
    if name in seen:
        behaviour = _by_records(seen[name], behaviour)
    if file.broadcast is not None and isinstance(defaults.duration(*name), Transmission):
        behaviour = replace(_by_transmission(file.broadcast.duration(), image_size, behaviour), source="file")
    own = file.steps.get("-".join(name)) or file.steps.get(name[1])
    return _by_file(own, behaviour) if own else behaviour


def _by_default(name: StepName, image_size: int) -> Behaviour:
    duration, hangs = defaults.duration(*name), defaults.hangs(*name)
    if isinstance(duration, Transmission):
        nothing = Behaviour(Constant(0), Constant(0), 0.0, hangs, "default")
        return _by_transmission(duration, image_size, nothing)
    return Behaviour(duration, duration, 0.0, hangs, "default")


def _by_records(samples: StepSamples, behaviour: Behaviour) -> Behaviour:
    duration = Samples(samples.good) if samples.good else behaviour.duration
    return Behaviour(
        duration,
        failed=Samples(samples.failed) if samples.failed else duration,
        failures=len(samples.failed) / samples.runs,
        hangs=samples.timeouts / samples.runs,
        source=f"{samples.runs} runs" if samples.good else f"{samples.runs} runs, default",
    )


def _by_transmission(transmission: Transmission, image_size: int, behaviour: Behaviour) -> Behaviour:
    seconds = Constant(transmission.start + image_size / MEGABYTE / transmission.rate)
    return replace(behaviour, duration=seconds, failed=seconds, hop=transmission.hop)


def _by_file(own: StepBehaviour, behaviour: Behaviour) -> Behaviour:
    rates = (own.failures, own.hangs)
    changed = replace(
        behaviour,
        failures=behaviour.failures if own.failures is None else own.failures,
        hangs=behaviour.hangs if own.hangs is None else own.hangs,
        source="file" if None not in (own.duration, *rates) else f"file, {behaviour.source}",
    )
    if own.duration is None:
        return changed
    duration = own.duration.distribution()
    return replace(changed, duration=duration, failed=duration, hop=0.0)
