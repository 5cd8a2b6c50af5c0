# SPDX-License-Identifier: Apache-2.0
"""Data of the events of each kind."""

from __future__ import annotations

from typing import Literal

from kadeploy.service.views.view import Maybe, Number, View
from kadeploy.vocabulary.workflow import State
from kadeploy.workflow.phase import Phase


class NoDataView(View):
    """Data of events that have none."""


class FailureView(View):
    """Failure: a sentence, the last lines of evidence, and the class of its cause."""

    reason: str
    evidence: str
    cause: str


class FileDataView(View):
    """Progress of a file: bytes that are done of ``size``, which is 0 where it is not known."""

    what: str
    source: str
    done: int
    size: int


class StartedInstanceView(View):
    """Instance with its micro-steps, in order."""

    instance: str
    micro_steps: tuple[str, ...]


class StartedMacroStepView(View):
    """Macro-step with its instances, in the order in which they are tried."""

    macro_step: str
    instances: tuple[StartedInstanceView, ...]


class StartedClusterView(View):
    """Cluster with its nodes and spares, and with what they run; ``prefix`` marks its lines in logs."""

    cluster: str
    prefix: str
    nodes: tuple[str, ...]
    spares: tuple[str, ...]
    macro_steps: tuple[StartedMacroStepView, ...]


class StartedDataView(View):
    """Clusters of an operation that has started."""

    clusters: tuple[StartedClusterView, ...]


class AttemptDataView(View):
    """Attempts of the instance before this one."""

    attempt: int


class InstanceEndedDataView(View):
    """End of an attempt after ``seconds``; ``failure`` is absent where it went well."""

    attempt: int
    seconds: Number
    failure: Maybe[FailureView] = None


class StepEndedDataView(View):
    """End of a micro-step that was admitted to its window at ``started``, in seconds since the epoch.

    ``seconds`` are those since then; ``failure`` is absent where it went well.
    """

    attempt: int
    started: Number
    seconds: Number
    failure: Maybe[FailureView] = None


class StepClearedDataView(View):
    """Seconds from the first node of a micro-step to its last."""

    seconds: Number


class WaitingDataView(View):
    """Number of nodes that wait, for at most ``seconds`` more."""

    present: int
    seconds: Number


class NodeEndedDataView(View):
    """End of a node: phase ok, ko, held or aborted; ``failure`` is absent where nothing failed."""

    phase: Phase
    failure: Maybe[FailureView] = None


class ProgressView(View):
    """Progress of a node in a broadcast: bytes, the node that feeds it ('' for none), lane and position."""

    received: int
    consumed: int
    upstream: str
    lane: int
    position: int


class TransferringDataView(View):
    """Bytes of the image, and the progress of nodes by their names."""

    size: int
    progress: dict[str, ProgressView]


class NodeReceptionView(View):
    """Reception of a node after ``seconds``; ``moved`` counts how often it was taken out of its lane."""

    ok: bool
    bytes: int
    seconds: Number
    lane: int
    position: int
    moved: int
    notes: tuple[str, ...]


class ReceivedDataView(View):
    """Receptions of nodes by their names, in the broadcast that began at ``started``."""

    started: Number
    receptions: dict[str, NodeReceptionView]


class InQueueDataView(View):
    """Position, 1 for the next one; ``seconds`` until it may begin are only there where that is known."""

    position: int
    seconds: Maybe[Number] = None


class QueuedDataView(View):
    """Window, and the number of its slots."""

    window: str
    size: int


class WarningDataView(View):
    """Message; ``traceback`` is only there where a defect of the program shows."""

    message: str
    level: Literal["warning", "error", "critical"]
    traceback: Maybe[str] = None


class EndedDataView(View):
    """End of an operation: state of its workflow, numbers of nodes by phase, seconds since it began.

    ``message`` says why no node has begun.
    """

    state: State
    counts: dict[Phase, int]
    seconds: Number
    message: Maybe[str] = None
