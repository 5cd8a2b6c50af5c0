# SPDX-License-Identifier: Apache-2.0
"""How each micro-step of an automaton behaves: by the file, else by the records, else by the defaults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from kadeploy.config.server import MEGABYTE
from kadeploy.errors import UsageError
from kadeploy.simulation import defaults
from kadeploy.simulation.distribution import Constant, Distribution, Samples
from kadeploy.simulation.file import CATALOGUE, BroadcastBehaviour, SimulationFile, StepBehaviour
from kadeploy.store.samples import StepSamples
from kadeploy.workflow.automaton import Automaton

BROADCAST_STEP = "send_environment"

StepName = tuple[str, str]  # instance, micro-step


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One micro-step; ``hop`` seconds are added for each node of a step that nodes do together.

    ``failed`` is how long runs take that fail. ``failures`` and ``hangs`` are shares of the runs. ``source``
    says where this comes from.
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
    """The behaviour of every micro-step; ``image_size`` in bytes."""
    seen = {(samples.instance, samples.micro): samples for samples in records}
    return {name: _behaviour(name, image_size, file, seen) for name in _names(automaton)}


def check_names(file: SimulationFile, automata: Iterable[Automaton]) -> None:
    """Raises UsageError for a custom operation in the file that none of the automata has.

    Micro-steps of the catalogue may be in the file though they are bypassed: it is made for many deployments.
    """
    names = [name for automaton in automata for name in _names(automaton)]
    known = CATALOGUE | {"-".join(name) for name in names} | {micro for _, micro in names}
    if unknown := [name for name in file.steps if name not in known]:
        raise UsageError(f"--simulate: this deployment has no micro-step {', '.join(unknown)}")


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
    if name[1] == BROADCAST_STEP and file.broadcast is not None:
        behaviour = _by_broadcast(file.broadcast, image_size, behaviour)
    own = file.steps.get("-".join(name)) or file.steps.get(name[1])
    return _by_file(own, behaviour) if own else behaviour


def _by_default(name: StepName, image_size: int) -> Behaviour:
    if name[1] == BROADCAST_STEP:
        nothing = Behaviour(Constant(0), Constant(0), 0.0, 0.0, "")
        return replace(_by_broadcast(defaults.BROADCAST, image_size, nothing), source="default")
    duration = defaults.duration(*name)
    return Behaviour(duration, duration, 0.0, defaults.hangs(name[1]), "default")


def _by_records(samples: StepSamples, behaviour: Behaviour) -> Behaviour:
    duration = Samples(samples.good) if samples.good else behaviour.duration
    return Behaviour(
        duration,
        failed=Samples(samples.failed) if samples.failed else duration,
        failures=len(samples.failed) / samples.runs,
        hangs=samples.timeouts / samples.runs,
        source=f"{samples.runs} runs" if samples.good else f"{samples.runs} runs, default",
    )


def _by_broadcast(broadcast: BroadcastBehaviour, image_size: int, behaviour: Behaviour) -> Behaviour:
    seconds = Constant(broadcast.start + image_size / MEGABYTE / broadcast.rate)
    return replace(behaviour, duration=seconds, failed=seconds, hop=broadcast.hop, source="file")


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
