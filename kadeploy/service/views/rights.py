# SPDX-License-Identifier: Apache-2.0
"""Document of rights on nodes: karights -l --json."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from kadeploy.service.views.view import ListDocument, View

if TYPE_CHECKING:
    from kadeploy.store.rights import Right


class RightView(View):
    """Right of a user on a ``node`` and a ``device``, each ``*`` for all.

    ``until`` is its end, a time of UTC in ISO 8601, null where it has none.
    """

    user: str
    node: str
    device: str
    until: str | None

    @classmethod
    def of(cls, right: Right) -> RightView:
        """View of a right."""
        until = None if right.until is None else datetime.fromtimestamp(right.until, UTC).isoformat()
        return cls(user=right.user, node=right.node, device=right.device, until=until)


class RightsView(ListDocument):
    """Rights, of which commands print the bare list."""

    kind: Literal["rights"] = "rights"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    rights: tuple[RightView, ...]

    @property
    def entries(self) -> Sequence[RightView]:
        return self.rights

    @classmethod
    def of(cls, rights: Sequence[Right]) -> RightsView:
        """View of rights."""
        return cls(rights=tuple(map(RightView.of, rights)))


class RightsChangeView(View):
    """Change of rights: whether there was something to do, and the workflows that end since theirs are lost.

    ``limited`` is false where server.conf lets everybody use every node.
    """

    changed: bool
    ended: tuple[str, ...]
    limited: bool
