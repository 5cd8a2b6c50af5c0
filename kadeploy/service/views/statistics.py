# SPDX-License-Identifier: Apache-2.0
"""Documents of past operations: kastat --json. Commands print the bare lists of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pydantic import Field

from kadeploy.nodes import fold
from kadeploy.service.views.view import ListDocument, Maybe, Number, View

if TYPE_CHECKING:
    from kadeploy.store.receptions import BroadcastSummary
    from kadeploy.store.statistics import CauseSummary, Record, StepSummary

MEGABYTE = 1e6

Row = TypeVar("Row", bound=View)


class Rows(ListDocument, Generic[Row]):
    """Document of the rows of a table."""

    rows: tuple[Row, ...]

    @property
    def entries(self) -> Sequence[Row]:
        return self.rows


class RecordView(View):
    """Record of one workflow on one node, with the fields that were chosen; times in whole seconds.

    The fields are those of Kadeploy3: ``md5`` has the SHA-256 of the image, ``env`` is name:version.
    """

    wid: Maybe[str] = None
    user: Maybe[str] = None
    hostname: Maybe[str] = None
    step1: Maybe[str] = None
    step2: Maybe[str] = None
    step3: Maybe[str] = None
    timeout_step1: Maybe[int] = None
    timeout_step2: Maybe[int] = None
    timeout_step3: Maybe[int] = None
    retry_step1: Maybe[int] = None
    retry_step2: Maybe[int] = None
    retry_step3: Maybe[int] = None
    start: Maybe[int] = None
    step1_duration: Maybe[int] = None
    step2_duration: Maybe[int] = None
    step3_duration: Maybe[int] = None
    env: Maybe[str] = None
    md5: Maybe[str] = None
    success: Maybe[bool] = None
    error: Maybe[str] = None
    cause: Maybe[str] = None

    @classmethod
    def of(cls, record: Record, fields: Sequence[str]) -> RecordView:
        """View of some fields of a record."""
        values: dict[str, Any] = {}
        for name in fields:
            value = getattr(record, name)
            values[name] = round(value) if isinstance(value, float) else value
        return cls(**values)


class RecordsView(Rows[RecordView]):
    """Records of past operations; ``fields`` are those that were chosen, in this order."""

    kind: Literal["statistics-records"] = "statistics-records"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    fields: tuple[str, ...]

    def to_rows(self) -> list[dict[str, Any]]:
        return [{name: row[name] for name in self.fields} for row in super().to_rows()]

    @classmethod
    def of(cls, records: Sequence[Record], fields: Sequence[str]) -> RecordsView:
        """View of some fields of records."""
        rows = tuple(RecordView.of(record, fields) for record in records)
        return cls(fields=tuple(dict.fromkeys(fields)), rows=rows)


class FailureRateView(View):
    """Share (0 to 1) of a node's records that have an error."""

    hostname: str
    rate: Number


class FailureRatesView(Rows[FailureRateView]):
    """Failure rates of nodes."""

    kind: Literal["statistics-failure-rates"] = "statistics-failure-rates"
    schema_version: Literal[1] = Field(default=1, alias="schema")

    @classmethod
    def of(cls, rates: Mapping[str, float]) -> FailureRatesView:
        """View of the rates of nodes."""
        rows = (FailureRateView(hostname=host, rate=round(rate, 3)) for host, rate in rates.items())
        return cls(rows=tuple(rows))


class CauseView(View):
    """Class of causes of failures ('' where none was recorded), its count, and the nodes, folded."""

    cause: str
    count: int
    nodes: str

    @classmethod
    def of(cls, summary: CauseSummary) -> CauseView:
        """View of a summary."""
        return cls(cause=summary.cause, count=summary.count, nodes=fold(summary.hosts))


class CausesView(Rows[CauseView]):
    """Causes of failures, the most frequent first."""

    kind: Literal["statistics-causes"] = "statistics-causes"
    schema_version: Literal[1] = Field(default=1, alias="schema")

    @classmethod
    def of(cls, summaries: Sequence[CauseSummary]) -> CausesView:
        """View of summaries."""
        return cls(rows=tuple(map(CauseView.of, summaries)))


class StepView(View):
    """Summary of the runs of a micro-step: durations in seconds, ``failure_rate`` from 0 to 1."""

    macro: str
    instance: str
    micro: str
    count: int
    median: Number
    p95: Number
    max: Number
    failure_rate: Number


class StepsView(Rows[StepView]):
    """Summaries of micro-steps, in the order of their first starts."""

    kind: Literal["statistics-steps"] = "statistics-steps"
    schema_version: Literal[1] = Field(default=1, alias="schema")

    @classmethod
    def of(cls, summaries: Sequence[StepSummary]) -> StepsView:
        """View of summaries."""
        return cls(rows=tuple(StepView(**asdict(summary)) for summary in summaries))


class BroadcastView(View):
    """Summary of a broadcast: ``start`` in seconds since 1970, ``nodes`` folded, rates in MB/s.

    ``median`` is the rate of the node in the middle, ``slowest`` that of the slowest that is ok.
    """

    wid: str
    start: int
    nodes: str
    bytes: int
    seconds: Number
    median: Number
    slowest: Number
    ok: int
    ko: int
    moved: int

    @classmethod
    def of(cls, summary: BroadcastSummary) -> BroadcastView:
        """View of a summary."""
        return cls(
            wid=summary.workflow_id,
            start=round(summary.started),
            nodes=fold(summary.nodes),
            bytes=summary.bytes,
            seconds=round(summary.seconds, 3),
            median=round(summary.median / MEGABYTE, 3),
            slowest=round(summary.slowest / MEGABYTE, 3),
            ok=summary.ok,
            ko=summary.ko,
            moved=summary.moved,
        )


class BroadcastsView(Rows[BroadcastView]):
    """Broadcasts in the order in which they began."""

    kind: Literal["statistics-broadcasts"] = "statistics-broadcasts"
    schema_version: Literal[1] = Field(default=1, alias="schema")

    @classmethod
    def of(cls, summaries: Sequence[BroadcastSummary]) -> BroadcastsView:
        """View of summaries."""
        return cls(rows=tuple(map(BroadcastView.of, summaries)))
