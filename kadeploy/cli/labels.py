# SPDX-License-Identifier: Apache-2.0
"""Names of operations in logs and summaries; scripts of Kadeploy3's users parse these words."""

from __future__ import annotations

from dataclasses import dataclass

from kadeploy.vocabulary.workflow import WorkflowKind


@dataclass(frozen=True, slots=True)
class Label:
    """Names of a kind of operation: ``name`` in sentences, ``macro`` before the brackets with an instance."""

    name: str
    macro: str

    @property
    def title(self) -> str:
        """Name at the beginning of a line."""
        return self.name[0].upper() + self.name[1:]


_LABELS = {
    WorkflowKind.DEPLOY: Label("deployment", "Deploy"),
    WorkflowKind.REBOOT: Label("reboot operation", "Reboot"),
    WorkflowKind.POWER: Label("power operation", "Power"),
}


DEPLOYMENT = _LABELS[WorkflowKind.DEPLOY]


def label(wid: str) -> Label:
    """Label of the operation with this identifier."""
    return _LABELS[WorkflowKind.of(wid)]
