# SPDX-License-Identifier: Apache-2.0
"""Scripts of this room as one text each, with the functions that they share in front."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def text_of(*parts: str) -> str:
    """Text of the named files of scripts/, one behind the other."""
    folder = files(__package__) / "scripts"
    return "\n".join((folder / part).read_text() for part in parts)
