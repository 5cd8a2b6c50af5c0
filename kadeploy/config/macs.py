# SPDX-License-Identifier: Apache-2.0
"""MACs of network cards as administrators write them: one, a list, or a range of the last octet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_RANGE = re.compile(r"((?:[0-9a-f]{2}:){5})\[([0-9a-f]{2})-([0-9a-f]{2})\]")
_GROUP = 1  # bit of the first octet: no card has such an address


def expand_macs(value: Any) -> tuple[str, ...]:
    """MACs in lower case with colons, of ``52:54:00:1f:00:[0b-14]``, of one MAC, or of a list of both.

    Raises ValueError.
    """
    if isinstance(value, list | tuple):
        return tuple(mac for part in value for mac in expand_macs(part))
    if not isinstance(value, str):
        raise ValueError("write a MAC, a range of MACs, or a list of both")
    return tuple(_expand(value.strip().lower().replace("-", ":") if "[" not in value else value.lower()))


def _expand(text: str) -> Iterator[str]:
    if match := _RANGE.fullmatch(text):
        first, last = int(match[2], 16), int(match[3], 16)
        if first > last:
            raise ValueError(f"'{text}' is an empty range")
        yield from (_check(f"{match[1]}{octet:02x}") for octet in range(first, last + 1))
    elif _MAC.fullmatch(text):
        yield _check(text)
    else:
        raise ValueError(f"'{text[:80]}' is no MAC: write 52:54:00:1f:00:0b or 52:54:00:1f:00:[0b-14]")


def _check(mac: str) -> str:
    if int(mac[:2], 16) & _GROUP or not mac.strip("0:"):
        raise ValueError(f"'{mac}' is no MAC of a card")
    return mac
