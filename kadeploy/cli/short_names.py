# SPDX-License-Identifier: Apache-2.0
"""Short names of workflows, by which users may call those that were listed."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

SHORTEST = 8  # characters behind the kind: a listed name shall not be used by the next workflow


def shortest_unique(ids: Iterable[str]) -> dict[str, str]:
    """Map identifiers to their shortest beginnings that no other of them has, with or without the kind.

    They have at least eight characters behind the kind, and do not end with a dash.
    """
    ordered = sorted((identifier[2:], identifier) for identifier in set(ids))
    lengths = dict.fromkeys((identifier for _, identifier in ordered), SHORTEST)
    for (one, first), (other, second) in pairwise(ordered):
        needed = _common_length(one, other) + 1
        lengths[first] = max(lengths[first], needed)
        lengths[second] = max(lengths[second], needed)
    return {identifier: _cut(identifier, length + 2) for identifier, length in lengths.items()}


def _common_length(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def _cut(identifier: str, length: int) -> str:
    short = identifier[:length]
    return identifier[: length + 1] if short.endswith("-") else short
