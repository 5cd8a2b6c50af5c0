# SPDX-License-Identifier: Apache-2.0
"""Values as they are written in a file: plainly, where a number or a truth is meant.

Readers of YAML do not agree on what 010, 1:30 or 1_000 is, and pydantic has its own opinion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import NoneType
from typing import Any, get_args

from kadeploy.terminal import shown

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
MAX_DIGITS = 40
_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})


def is_true(text: str) -> bool:
    """True for a text that means it."""
    return text.lower() in _TRUE


def check(value: Any, annotation: Any) -> None:
    """Check the texts of a field of this type; raises ValueError for numbers and truths spelt otherwise."""
    types = set(_types(annotation)) - {NoneType}
    if types and types <= {int, float, bool}:
        for text in _texts(value):
            _check_text(text, types)


def check_whole(text: str) -> None:
    """Check decimal digits; raises ValueError."""
    if not _WHOLE.fullmatch(text) or len(text) > MAX_DIGITS:
        raise ValueError(f"'{shown(text, 40)}' is no whole number in decimal digits")


def check_decimal(text: str) -> None:
    """Check decimal digits, with a point or without; raises ValueError."""
    if not _DECIMAL.fullmatch(text) or len(text) > MAX_DIGITS:
        raise ValueError(f"'{shown(text, 40)}' is no number in decimal digits")


def _check_text(text: str, types: set[Any]) -> None:
    if bool in types:
        if text.lower() not in _TRUE | _FALSE:
            raise ValueError(f"'{shown(text, 40)}' is neither true nor false")
    elif float in types:
        check_decimal(text)
    else:
        check_whole(text)


def _types(annotation: Any) -> Iterator[Any]:
    """Types of the values in ``int``, ``int | None``, ``Annotated[int, …]``, ``tuple[int, ...]``."""
    if hasattr(annotation, "__metadata__"):
        yield from _types(annotation.__origin__)
    elif arguments := [argument for argument in get_args(annotation) if argument is not Ellipsis]:
        for argument in arguments:
            yield from _types(argument)
    else:
        yield annotation


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
