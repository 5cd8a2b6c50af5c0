# SPDX-License-Identifier: Apache-2.0
"""Results of an operation: of each node, and of all of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from kadeploy.store.receptions import Reception
from kadeploy.workflow.phase import Phase


@dataclass(frozen=True, slots=True)
class NodeResult:
    """Result of one node: phase ok, ko, held or aborted.

    ``place`` is Instance-micro, ``cause`` the class of what failed, '' for a good node; ``power`` is on or
    off, as it was last found, '' where it was not looked for. ``proof``: level of the proof of the miniOS
    that it has booted, '' where it has booted none; ``minios_key``: public host key of that miniOS.
    ``reception``: what it received in its last broadcast, None before that.
    """

    node: str
    phase: Phase
    place: str = ""
    reason: str = ""
    evidence: str = ""
    cause: str = ""
    host_keys: tuple[str, ...] = ()
    address: str = ""
    power: str = ""
    proof: str = ""
    minios_key: str = ""
    reception: Reception | None = None


@dataclass(frozen=True, slots=True)
class OperationResult:
    """Results of every node that had begun, in the order in which they were given.

    ``seconds`` for all; ``enough``: the number of good nodes with which it has succeeded.
    """

    wid: str
    seconds: float
    enough: int
    nodes: tuple[NodeResult, ...] = field(default=())
