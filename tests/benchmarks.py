# SPDX-License-Identifier: Apache-2.0
"""Benchmarks as their users start them."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUN = Path(__file__).parents[1] / "benchmarks" / "run"


@dataclass(frozen=True, slots=True)
class Done:
    """What a benchmark has printed on standard output and standard error, and written as JSON."""

    status: int
    shown: str
    said: str
    figures: dict[str, Any]


def run(name: str, folder: Path, *options: str) -> Done:
    """Run a benchmark to its end, whatever that is; its figures go through a file in ``folder``."""
    path = folder / f"{name}.json"
    argv: list[str | Path] = [RUN, name, "--json", path, *options]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    figures = json.loads(path.read_text()) if path.exists() else {}
    return Done(done.returncode, done.stdout, done.stderr, figures)


def measured(name: str, folder: Path, *options: str) -> Done:
    """Run a benchmark, which has to succeed."""
    done = run(name, folder, *options)
    assert done.status == 0, f"{done.shown}{done.said}"
    assert done.figures["machine"]["processors"] >= 1 and len(done.figures["machine"]["load"]) >= 2
    assert done.shown
    return done
