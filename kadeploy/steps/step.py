# SPDX-License-Identifier: Apache-2.0
"""Steps: micro-steps as one operation runs them on one cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kadeploy.config.expression import Expression
from kadeploy.errors import NodeError
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.workbench import Workbench
from kadeploy.vocabulary.cause import Cause
from kadeploy.vocabulary.micro_step import MicroStepEntry

Context = TypeVar("Context", bound=Workbench[Any], contravariant=True)

# Run a micro-step on one node; raises KadeployError where the node has failed.
NodeFunction = Callable[[Context, NodeRun], Awaitable[None]]

# Run a micro-step on a set of nodes; ``Ended`` is called once for each, with the error of one that failed.
Ended = Callable[[str, NodeError | None], None]
SetFunction = Callable[[Context, Sequence[NodeRun], Ended], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """``micro_step`` is the entry of the step, or of the one around which a custom operation is put.

    ``cause`` is the class of its failures as a rule. ``restart`` names the step from which it is redone when
    the engine was killed in it. ``throttled``: it counts in the window of reboots. ``retries`` are attempts
    after the first. ``breakpoint``: what is installed asks for nodes to be held before it.
    """

    name: str
    micro_step: MicroStepEntry
    cause: Cause
    timeout: Expression
    restart: str
    throttled: bool = False
    retries: int = 0
    breakpoint: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStep(_Step, Generic[Context]):
    """Step that each node does on its own."""

    function: NodeFunction[Context]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStep(_Step, Generic[Context]):
    """Step that nodes do together."""

    function: SetFunction[Context]


Step = NodeStep[Context] | SetStep[Context]
