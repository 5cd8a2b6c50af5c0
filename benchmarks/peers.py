# SPDX-License-Identifier: Apache-2.0
"""Peers: the tools that others use for the same. Those that are missing are named and left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.benchmark import say


def lines(missing: Mapping[str, str]) -> Iterator[str]:
    """A line for each peer that is left out; ``missing``: the command line that gets it, by its name."""
    for name, command in missing.items():
        yield f"{name} is missing and left out; to have it: {command}"


def announce(missing: Mapping[str, str]) -> None:
    """Say before the measurement what will not be in it."""
    for line in lines(missing):
        say(line)


def by_apt(*packages: str) -> str:
    """The command line that gets packages of Debian."""
    return f"apt-get install --no-install-recommends {' '.join(packages)}"
