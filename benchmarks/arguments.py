# SPDX-License-Identifier: Apache-2.0
"""Types of arguments: each refuses what it does not know with a sentence."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence


def number(least: float, most: float) -> Callable[[str], float]:
    """A number in these bounds."""

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ArgumentTypeError(f"{text} is no number") from None
        if not least <= value <= most:
            raise ArgumentTypeError(f"{text} is not from {least:g} to {most:g}")
        return value

    return number


def count(most: int, least: int = 1) -> Callable[[str], int]:
    """A whole number in these bounds."""

    def count(text: str) -> int:
        value = number(least, most)(text)
        if value != int(value):
            raise ArgumentTypeError(f"{text} is no whole number")
        return int(value)

    return count


def counts(most: int) -> Callable[[str], list[int]]:
    """Whole numbers from 1 on, with commas between them."""

    def counts(text: str) -> list[int]:
        return [count(most)(word) for word in text.split(",")]

    return counts


def words(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Some of the known words, with commas between them."""

    def words(text: str) -> list[str]:
        found = text.split(",")
        if unknown := [word for word in found if word not in known]:
            raise ArgumentTypeError(f"{unknown[0]} is none of {', '.join(known)}")
        return found

    return words
