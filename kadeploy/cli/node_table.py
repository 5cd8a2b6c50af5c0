# SPDX-License-Identifier: Apache-2.0
"""Table of nodes: one line for all of which the same is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from kadeploy.cli.columns import NONE, aligned, short_time
from kadeploy.nodes import fold
from kadeploy.service.views.nodes import NodeView

TITLES = ("State", "User", "Environment", "Since", "Held until", "Proof", "Nodes")


def state_lines(nodes: Sequence[NodeView]) -> Iterator[str]:
    """Lines of the table, in the order of the first node of each."""
    groups: dict[tuple[str, ...], list[NodeView]] = {}
    for node in nodes:
        groups.setdefault(_key(node), []).append(node)
    now = datetime.now().astimezone()
    rows = [_row(key, members, now) for key, members in groups.items()]
    yield from aligned(TITLES, rows)


def _key(node: NodeView) -> tuple[str, ...]:
    """Values that the nodes of a line share; since when each is so is none of them: it differs by seconds."""
    until = node.leased_until and node.leased_until[: len("2026-12-01T02:05")]
    return (_state(node), node.user, node.environment, until or "", node.proof)


def _state(node: NodeView) -> str:
    return f"{node.state} (interrupted)" if node.interrupted else node.state


def _row(key: tuple[str, ...], members: Sequence[NodeView], now: datetime) -> tuple[str, ...]:
    state, user, environment, _, proof = key
    names = fold(node.node for node in members)
    since = max(node.since or "" for node in members)
    ends = min((node.leased_until for node in members if node.leased_until), default="")
    times = (short_time(text, now) if text else NONE for text in (since, ends))
    return (state or NONE, user or NONE, environment or NONE, *times, proof or NONE, names)
