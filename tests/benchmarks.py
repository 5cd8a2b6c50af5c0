# SPDX-License-Identifier: Apache-2.0
"""Benchmarks as their users start them."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks import program
from kadeploy.errors import ExitStatus

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


def refused(words: Sequence[str], expected: int = ExitStatus.USAGE) -> str:
    """What is said of a command line, the name of a benchmark first, that cannot be obeyed."""
    said = io.StringIO()
    with ExitStack() as stack:
        stack.enter_context(redirect_stderr(said))
        stack.enter_context(mock.patch.dict(os.environ))  # it is the process of the tests that main changes
        stack.enter_context(mock.patch.object(signal, "signal"))
        try:
            status = program.main(words)
        except SystemExit as ended:
            status = int(str(ended.code))
    assert status == expected
    return said.getvalue()


def measured(name: str, folder: Path, *options: str) -> Done:
    """Run a benchmark, which has to succeed."""
    done = run(name, folder, *options)
    assert done.status == 0, f"{done.shown}{done.said}"
    assert done.figures["machine"]["processors"] >= 1 and len(done.figures["machine"]["load"]) >= 2
    assert done.shown
    return done
