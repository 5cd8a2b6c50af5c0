# SPDX-License-Identifier: Apache-2.0
"""Requests: what a user asks for, in operations of all kinds."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EnvironmentName:
    """A recorded environment: its owner and version where the user named them."""

    name: str
    owner: str | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """Request of any kind.

    ``force``: take nodes that others use; ``hold_seconds``: how long held nodes stay leased.
    """

    user: str
    nodes: tuple[str, ...]
    force: bool = field(default=False, kw_only=True)
    hold_seconds: float = field(default=24 * 3600.0, kw_only=True)
