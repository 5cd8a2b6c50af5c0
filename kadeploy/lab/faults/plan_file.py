# SPDX-License-Identifier: Apache-2.0
"""File of ``kalab fault --plan``: faults of named or random nodes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from kadeploy import nodes
from kadeploy.config import written
from kadeploy.config.problems import CheckedModel, Problem
from kadeploy.config.yaml_file import FileModel, load_file
from kadeploy.errors import KadeployError
from kadeploy.lab.faults import assignment, setting
from kadeploy.lab.faults.assignment import AssignedFault, WeightedFault
from kadeploy.lab.plan import LabPlan
from kadeploy.vocabulary.cause import Cause

OK = "ok"
MAX_ENTRIES = 1000
_PERCENTAGE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)%")


def _value_error(error: KadeployError) -> ValueError:
    return ValueError(f"{error.message}; {error.hint}" if error.hint else error.message)


def _lab(info: ValidationInfo) -> LabPlan:
    assert isinstance(info.context, LabPlan)
    return info.context


def _node_set(text: str, info: ValidationInfo) -> str:
    try:
        for name in nodes.parse(text):
            _lab(info).node(name)
    except KadeployError as error:
        raise _value_error(error) from None
    return text


def _fault(text: str, info: ValidationInfo) -> str:
    """Fault that nodes of this lab can have."""
    try:
        wanted = setting.parse(text)
        setting.check_lab(_lab(info), wanted)
    except KadeployError as error:
        raise _value_error(error) from None
    return text


def _outcome(text: str) -> str:
    if text not in (OK, *Cause):
        raise ValueError(f"'{text}' is neither {OK} nor a class of verdicts; there are {', '.join(Cause)}")
    return text


def _from_percentage(value: Any) -> Any:
    if isinstance(value, str) and not value.endswith("%"):
        written.check_decimal(value)
    match = _PERCENTAGE.fullmatch(value) if isinstance(value, str) else None
    return float(match[1]) / 100 if match else value


NodeSet = Annotated[str, AfterValidator(_node_set)]
FaultText = Annotated[str, AfterValidator(_fault)]
Outcome = Annotated[str, AfterValidator(_outcome)]
Share = Annotated[float, BeforeValidator(_from_percentage), Field(ge=0, le=1)]


class NamedFault(FileModel):
    """Fault of nodes that are named. ``expect``: expected end of their deployment."""

    nodes: NodeSet
    fault: FaultText
    expect: Outcome | None = None

    @model_validator(mode="after")
    def _is_no_own_name(self) -> Self:
        if setting.parse(self.fault).value in nodes.parse(self.nodes):
            raise ValueError(f"{self.fault} is the own name of one of {self.nodes}")
        return self


class FaultKind(FileModel):
    """Fault to draw from; one of weight 2 is drawn twice as often as one of weight 1."""

    fault: FaultText
    weight: float = Field(default=1.0, gt=0, le=1000, allow_inf_nan=False)
    expect: Outcome | None = None


class RandomFaults(FileModel):
    """Faults of a ``share`` of the nodes, all of the lab by default, without those that have a named
    fault."""

    share: Share
    seed: int = 0
    nodes: NodeSet | None = None
    kinds: tuple[FaultKind, ...] = Field(min_length=1, max_length=MAX_ENTRIES)


def _kinds_of_nodes(entries: Any) -> Iterator[tuple[int, str, str]]:
    """Number of the entry, node and kind, of those entries that can be read."""
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict) and isinstance(fault := entry.get("fault"), str):
            with contextlib.suppress(KadeployError):
                for node in nodes.parse(str(entry.get("nodes"))):
                    yield index, node, fault.partition("=")[0]


class FaultPlan(CheckedModel):
    """Content of the file."""

    faults: tuple[NamedFault, ...] = Field(default=(), max_length=MAX_ENTRIES)
    random: RandomFaults | None = None

    @classmethod
    def problems(cls, data: Mapping[Any, Any]) -> Iterator[Problem]:
        """Find a file without faults, and nodes that are given a fault twice."""
        yield from super().problems(data)
        if not data.get("faults") and not data.get("random"):
            yield (), "it names no faults; give 'faults', 'random' or both"
        seen: set[tuple[str, str]] = set()
        for index, node, kind in _kinds_of_nodes(data.get("faults")):
            if (node, kind) in seen:
                yield ("faults", index, "fault"), f"{node} is given the fault {kind} twice"
            seen.add((node, kind))

    def _named_faults(self) -> list[AssignedFault]:
        return [
            AssignedFault(node, setting.parse(entry.fault), entry.expect or "")
            for entry in self.faults
            for node in nodes.parse(entry.nodes)
        ]

    def assign(self, lab: LabPlan, seed: int | None) -> list[AssignedFault]:
        """Faults of nodes: the named ones, then random ones, by this seed if it is given."""
        named = self._named_faults()
        return named + self._assign_random(lab, {assigned.node for assigned in named}, seed)

    def _assign_random(self, lab: LabPlan, taken: set[str], seed: int | None) -> list[AssignedFault]:
        if self.random is None:
            return []
        wanted = self.random.nodes
        names = nodes.parse(wanted) if wanted else [node.name for node in lab.nodes]
        faults = [
            WeightedFault(setting.parse(kind.fault), kind.expect or "", kind.weight)
            for kind in self.random.kinds
        ]
        free = [name for name in names if name not in taken]
        return assignment.assign(free, self.random.share, faults, self.random.seed if seed is None else seed)


def load(path: Path, lab: LabPlan) -> FaultPlan:
    """Read and check a file for a lab; raises NotFoundError, or FileError with all its problems."""
    return load_file(path, FaultPlan, lab)
