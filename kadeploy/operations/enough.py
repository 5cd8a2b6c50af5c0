# SPDX-License-Identifier: Apache-2.0
"""Number of good nodes that are enough: a number, or a percentage of those that are asked for."""

from __future__ import annotations

import re


def parse_min_ok(value: object, count: int) -> int:
    """Number of ``count`` nodes that must be ok, from a number or a percentage, rounded up.

    Raises ValueError for what is neither, or more than there are.
    """
    wanted = _number_of_nodes(value, count)
    if wanted > count:
        there = "there is only 1 node" if count == 1 else f"there are only {count} nodes"
        raise ValueError(f"{value} are wanted, but {there}")
    return wanted


def _number_of_nodes(value: object, count: int) -> int:
    number = type(value) is int  # a bool is none
    match = re.fullmatch(r"([0-9]{1,6})(%?)", str(value)) if number or isinstance(value, str) else None
    if match is None or (match[2] and int(match[1]) > 100):
        raise ValueError(f"'{str(value)[:40]}' is neither a number of nodes nor a percentage like 95%")
    return -(-count * int(match[1]) // 100) if match[2] else int(match[1])
