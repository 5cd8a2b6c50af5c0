# SPDX-License-Identifier: Apache-2.0
"""Documents of a virtual cluster: kalab status and kalab fault with --json.

The lab is above this room, so they are made of plain values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from kadeploy.service.views.view import ListDocument, View


class LabNodeView(View):
    """Machine of a lab: ``power`` on or off, ``pid`` null when off, ``memory`` in bytes.

    ``console`` is the last line of its console.
    """

    name: str
    power: str
    pid: int | None
    memory: int
    address: str
    bmc: str
    boot_device: str
    faults: tuple[str, ...]
    console: str


class LabNodesView(ListDocument):
    """Machines of a lab, of which kalab prints the bare list."""

    kind: Literal["lab-nodes"] = "lab-nodes"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    nodes: tuple[LabNodeView, ...]

    @property
    def entries(self) -> Sequence[LabNodeView]:
        return self.nodes


class LabFaultView(View):
    """Fault that was assigned to a node; ``expect`` is ok or the class of its verdict, '' if not given."""

    node: str
    fault: str
    expect: str


class LabFaultsView(ListDocument):
    """Faults of the nodes of a lab, of which kalab prints the bare list."""

    kind: Literal["lab-faults"] = "lab-faults"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    faults: tuple[LabFaultView, ...]

    @property
    def entries(self) -> Sequence[LabFaultView]:
        return self.faults
