# SPDX-License-Identifier: Apache-2.0
"""File of --simulate: behaviour of nodes and micro-steps that is known better than from records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from kadeploy import nodes
from kadeploy.config.yaml_file import FileModel, load_file
from kadeploy.simulation.distribution import Distribution, Normal, Samples, Uniform
from kadeploy.vocabulary.deployment import MACRO_STEPS
from kadeploy.vocabulary.duration import Constant, LogNormal, Transmission

WEEK = 7 * 24 * 3600.0
MAX_SAMPLES = 100_000

Seconds = Annotated[float, Field(ge=0, le=WEEK, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]

# Micro-steps of a deployment, each alone and behind its instance.
STEP_NAMES = frozenset(
    name
    for macro in MACRO_STEPS
    for instance in macro.instances
    for step in instance.micro_steps
    for name in (step.name, f"{instance.name}-{step.name}")
)
_BROADCAST = Transmission()


class Spread(FileModel):
    """Spread: the standard deviation in seconds of a normal, the factor of a lognormal distribution."""

    median: Seconds
    spread: Seconds


class Duration(FileModel):
    """Duration by exactly one of the distributions; a number alone is a constant."""

    constant: Seconds | None = None
    uniform: tuple[Seconds, Seconds] | None = None
    normal: Spread | None = None
    lognormal: Spread | None = None
    samples: tuple[Seconds, ...] | None = Field(default=None, min_length=1, max_length=MAX_SAMPLES)

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"give one of {', '.join(Duration.model_fields)}")
        if self.uniform is not None and self.uniform[0] > self.uniform[1]:
            raise ValueError("the second value of uniform is below the first")
        if self.lognormal is not None and self.lognormal.spread < 1:
            raise ValueError("the spread of lognormal is a factor: 1 or more")
        return self

    def distribution(self) -> Distribution:
        """Distribution that is given."""
        if self.uniform is not None:
            return Uniform(*self.uniform)
        if self.normal is not None:
            return Normal(self.normal.median, self.normal.spread)
        if self.lognormal is not None:
            return LogNormal(self.lognormal.median, self.lognormal.spread)
        if self.samples is not None:
            return Samples(tuple(sorted(self.samples)))
        assert self.constant is not None
        return Constant(self.constant)


def _from_number(value: Any) -> Any:
    return {"constant": value} if isinstance(value, str | int | float) else value


def _step_name(value: str) -> str:
    is_custom = any(value.startswith(f"{name}-") for name in STEP_NAMES)
    if value not in STEP_NAMES and not is_custom:
        raise ValueError(f"'{value}' is no micro-step, nor Instance-micro-step")
    return value


class StepBehaviour(FileModel):
    """Behaviour of a micro-step: shares of the runs that fail, and that run into their deadline."""

    duration: Annotated[Duration, BeforeValidator(_from_number)] | None = None
    failures: Share | None = None
    hangs: Share | None = None

    @model_validator(mode="after")
    def _are_shares(self) -> Self:
        if (self.failures or 0.0) + (self.hangs or 0.0) > 1:
            raise ValueError("failures and hangs are more than 1 together")
        return self


class BroadcastBehaviour(FileModel):
    """Seconds of a broadcast: ``start`` + image / ``rate`` + ``hop`` for each node; ``rate`` in MB/s."""

    rate: float = Field(gt=0, allow_inf_nan=False)
    start: Seconds = _BROADCAST.start
    hop: Seconds = _BROADCAST.hop

    def duration(self) -> Transmission:
        """The duration of a broadcast by this file."""
        return Transmission(self.rate, self.start, self.hop)


class SlowNodes(FileModel):
    """Share of the nodes that take ``factor`` times as long for all node-scoped steps."""

    share: Share = 0.0
    factor: float = Field(default=2.0, ge=1, le=1000)


class PowerFailure(FileModel):
    """Share of the nodes that lose power at a moment between two times, in seconds since the beginning.

    If the power ``returns``, the next reboot through the BMC brings a node back.
    """

    share: Share
    first: Seconds = 0.0
    last: Seconds = 0.0
    returns: bool = False

    @model_validator(mode="after")
    def _is_span(self) -> Self:
        if self.last < self.first:
            raise ValueError("'last' is before 'first'")
        return self


class SimulationFile(FileModel):
    """Content of the file; every key may be left out.

    ``nodes``: number of simulated nodes instead of the chosen ones. ``records``: the store is asked.
    ``steps`` maps ``Instance-micro-step``, or a micro-step of all instances, to its behaviour; custom
    operations are micro-steps named behind the one that they belong to.
    """

    nodes: int | None = Field(default=None, ge=1, le=nodes.MAX_NODES)
    records: bool = True
    steps: dict[Annotated[str, AfterValidator(_step_name)], StepBehaviour] = Field(default={})
    broadcast: BroadcastBehaviour | None = None
    slow: SlowNodes = SlowNodes()
    power_failures: tuple[PowerFailure, ...] = Field(default=(), max_length=100)


def load(path: Path) -> SimulationFile:
    """Read and check a file; raises NotFoundError, or FileError with all its problems."""
    return load_file(path, SimulationFile)
