# SPDX-License-Identifier: Apache-2.0
"""What a benchmark is: its options, what it measures, and what it then has to say."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kadeploy.errors import ExitStatus, KadeployError

CHECKOUT = Path(__file__).resolve().parents[1]
Figures = dict[str, Any]


class MeasurementError(KadeployError):
    """Nothing can be said of what was to be measured; exit status 1."""

    status = ExitStatus.NODES_FAILED


@dataclass(frozen=True, slots=True)
class Result:
    """``figures`` for --json, ``lines`` for people; one that is not ``good`` makes the exit status 1.

    ``machine``: what is told of this machine beyond what the program tells of it in any case.
    """

    figures: Figures
    lines: Sequence[str]
    good: bool = True
    machine: Figures = field(default_factory=dict)


def _accept(_: Namespace) -> None:
    """Options that go together, whatever they are."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """``quick``: what --quick puts in the place of the options' defaults, ``quickly`` the same in words.

    ``check`` raises UsageError for options that do not go together, ``measure`` KadeployError.
    """

    description: str
    add_options: Callable[[ArgumentParser], None]
    measure: Callable[[Namespace], Result]
    quick: Mapping[str, Any]
    quickly: str
    details: str = ""
    needs_root: bool = True
    check: Callable[[Namespace], object] = _accept


def say(line: str) -> None:
    """Tell how it goes, on standard error."""
    print(line, file=sys.stderr, flush=True)
