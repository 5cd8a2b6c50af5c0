# SPDX-License-Identifier: Apache-2.0
"""Metrics of the server in the format of Prometheus: what happens is counted, what is there is looked up."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from kadeploy.store.counts import StoreCounts
from kadeploy.vocabulary.mode import Mode
from kadeploy.vocabulary.workflow import WorkflowKind
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_data import receptions_of, state_of
from kadeploy.workflow.event_kind import EventKind

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
UNKNOWN = "unknown"  # state of nodes that the store has never heard of

_STEP_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1200, 3600)
_HTTP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class ServerMetrics:
    """Metrics that are counted while the server lives."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._ended = Counter(
            "kadeploy_operations_ended", "Operations that have ended.", ["kind", "state"], registry=registry
        )
        self._steps = Histogram(
            "kadeploy_step_seconds",
            "Durations of micro-steps of one node.",
            ["step", "result"],
            buckets=_STEP_SECONDS,
            registry=registry,
        )
        self._nodes_ended = Counter(
            "kadeploy_nodes_ended", "Nodes that have come to an end.", ["kind", "phase"], registry=registry
        )
        self._bytes = Counter(
            "kadeploy_broadcast_bytes", "Bytes that nodes have received in broadcasts.", registry=registry
        )
        self._requests = Counter(
            "kadeploy_http_requests",
            "Requests of HTTP that were answered.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "kadeploy_http_request_seconds",
            "Seconds until an answer begins.",
            ["method", "route"],
            buckets=_HTTP_SECONDS,
            registry=registry,
        )

    def take(self, event: Event) -> None:
        """Count an event of any operation."""
        match event.kind:
            case EventKind.STEP_ENDED:
                result = "failed" if event.failure else "ok"
                self._steps.labels(event.micro_step, result).observe(event.seconds)
            case EventKind.NODE_ENDED:
                self._nodes_ended.labels(_kind(event), str(event.phase)).inc()
            case EventKind.RECEIVED:
                self._bytes.inc(sum(one.bytes for one in receptions_of(event)))
            case EventKind.ENDED:
                self._ended.labels(_kind(event), str(state_of(event))).inc()
            case _:
                pass

    def take_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(method, route).observe(seconds)

    def text(self, counts: StoreCounts, *, nodes: int, queue: int, mode: Mode) -> bytes:
        """Text of all metrics. The site has so many nodes, and so many operations wait in the queue."""
        now = CollectorRegistry()
        now.register(_Now(list(_gauges(counts, nodes, queue, mode))))
        return generate_latest(self._registry) + generate_latest(now)


class _Now(Collector):
    """Collector of what is there now."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _gauges(counts: StoreCounts, nodes: int, queue: int, mode: Mode) -> Iterable[Metric]:
    operations = GaugeMetricFamily(
        "kadeploy_operations", "Operations that have not ended.", labels=["kind", "state"]
    )
    for (kind, state), number in counts.workflows.items():
        operations.add_metric([kind, state], number)
    yield operations
    states = GaugeMetricFamily("kadeploy_nodes", "Nodes by their last known state.", labels=["state"])
    for state, number in counts.nodes.items():
        states.add_metric([state], number)
    states.add_metric([UNKNOWN], max(nodes - sum(counts.nodes.values()), 0))
    yield states
    slots = GaugeMetricFamily("kadeploy_window_slots", "Slots of windows.", labels=["window", "what"])
    for what, found in (("held", counts.held), ("waiting", counts.waiting)):
        for window, number in found.items():
            slots.add_metric([window, what], number)
    yield slots
    yield GaugeMetricFamily("kadeploy_queue", "Operations that wait for their nodes.", value=queue)
    modes = GaugeMetricFamily("kadeploy_mode", "Mode of the server.", labels=["mode"])
    for one in Mode:
        modes.add_metric([str(one)], one is mode)
    yield modes


def _kind(event: Event) -> str:
    return str(WorkflowKind.of(event.wid))
