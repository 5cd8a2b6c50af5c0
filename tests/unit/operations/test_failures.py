# SPDX-License-Identifier: Apache-2.0
"""Every failure has a class of cause, a sentence, and something to look at or to try."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kadeploy.config.clusters import Node
from kadeploy.config.expression import Expression
from kadeploy.errors import (
    KadeployError,
    NodeError,
    NotFoundError,
    PowerError,
    RefusedError,
    RemoteError,
    ServiceError,
    UnreachableError,
    UsageError,
)
from kadeploy.operations.run.failures import failure_of, interruption_of
from kadeploy.steps.caused_error import CausedError, cause_of
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.step import NodeStep
from kadeploy.vocabulary.cause import Cause
from kadeploy.vocabulary.names import INSTANCES
from kadeploy.workflow import failure


async def do_nothing(*_: object) -> None: ...


ALL_STEPS: list[tuple[str, NodeStep[Any]]] = [
    (
        f"{instance.name}-{entry.name}",
        NodeStep(
            name=entry.name,
            micro_step=entry,
            cause=entry.cause,
            timeout=Expression("60"),
            restart=entry.name,
            function=do_nothing,
        ),
    )
    for instance in INSTANCES.values()
    for entry in instance.micro_steps
]
PLAIN: list[type[KadeployError]] = [NotFoundError, RefusedError, ServiceError, UsageError]
OF_NODES: list[type[NodeError]] = [NodeError, PowerError, RemoteError, UnreachableError]
TEXTS = st.text(max_size=60)
SENTENCES = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=600)


@st.composite
def errors(draw: st.DrawFn) -> KadeployError:
    """Any error with any evidence and hint, or none."""
    message, hint = draw(SENTENCES), draw(SENTENCES | st.just(""))
    evidence = draw(TEXTS)
    return draw(
        st.sampled_from(
            [
                CausedError(message, draw(st.sampled_from(Cause)), evidence=evidence, hint=hint),
                *(kind(message, evidence=evidence, hint=hint) for kind in OF_NODES),
                *(kind(message, hint=hint) for kind in PLAIN),
            ]
        )
    )


@pytest.mark.parametrize("step", [pytest.param(step, id=name) for name, step in ALL_STEPS])
def test_every_step_says_what_its_failures_mean(step: NodeStep[Any]) -> None:
    assert isinstance(step.cause, Cause)
    assert step.cause not in (Cause.ABORTED, Cause.INTERNAL), "those are no verdict on a node"


def test_the_engine_and_the_steps_use_the_same_words() -> None:
    assert (failure.ABORTED, failure.INTERNAL) == (Cause.ABORTED, Cause.INTERNAL)


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_comes_with_advice(cause: Cause) -> None:
    assert cause.advice


@given(errors(), st.sampled_from([step for _, step in ALL_STEPS]))
def test_any_error_of_any_step_becomes_a_verdict(error: KadeployError, step: NodeStep[Any]) -> None:
    failure = failure_of(error, step)
    assert failure.cause in set(Cause)
    assert failure.reason and failure.evidence


@given(
    TEXTS,
    TEXTS,
    st.none() | st.sampled_from(Cause),
    st.lists(TEXTS),
    st.sampled_from([s for _, s in ALL_STEPS]),
)
def test_any_step_that_is_broken_off_leaves_a_verdict(
    observed: str, evidence: str, cause: Cause | None, notes: list[str], step: NodeStep[Any]
) -> None:
    run = NodeRun(Node("node-1", "10.0.0.1", "", "red"), 0, observed, evidence, cause)
    cancelled = asyncio.CancelledError()
    for note in notes:
        cancelled.add_note(note)
    failure = interruption_of(step, run, cancelled)
    assert failure.cause == (cause or step.cause)
    assert failure.reason and failure.evidence


@pytest.mark.parametrize(
    ("error", "default", "expected"),
    [
        (PowerError("refused"), Cause.REBOOT, Cause.POWER),
        (UnreachableError("no answer"), Cause.DISK, Cause.CONNECTION),
        (ServiceError("the repository cannot be written"), Cause.POWER, Cause.SERVICE),
        (RefusedError("parameters"), Cause.SERVICE, Cause.SERVICE),
        (RemoteError("exit", evidence="mkfs: no such device"), Cause.DISK, Cause.DISK),
        (RemoteError("exit", evidence="tar: x: No space left on device"), Cause.BROADCAST, Cause.DISK),
        (RemoteError("exit", evidence="cp: No space left on device"), Cause.POST_INSTALL, Cause.POST_INSTALL),
        (RemoteError("exit", evidence="cp: Input/output error"), Cause.POST_INSTALL, Cause.DISK),
        (RemoteError("exit", evidence="EXT4-fs: Read-only file system"), Cause.BOOTLOADER, Cause.DISK),
        (NodeError("other data"), Cause.BROADCAST, Cause.BROADCAST),
        (CausedError("image", Cause.ENVIRONMENT), Cause.BROADCAST, Cause.ENVIRONMENT),
    ],
)
def test_what_an_error_tells_beyond_its_step(error: KadeployError, default: Cause, expected: Cause) -> None:
    assert cause_of(error, default) is expected
