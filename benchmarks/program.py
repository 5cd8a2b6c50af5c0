# SPDX-License-Identifier: Apache-2.0
"""The program benchmarks/run: which benchmarks there are, and how one is started."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent


def names() -> list[str]:
    """The benchmarks, which are the packages here that have a module of this name."""
    return sorted(path.parent.name for path in HERE.glob("*/benchmark.py"))


def main(words: Sequence[str]) -> int:
    """Start the benchmark that the first word names, with the options behind it; its exit status."""
    if not words or words[0] in ("-h", "--help"):
        print("usage: benchmarks/run NAME [OPTION]...\n")
        for name in names():
            description = importlib.import_module(f"benchmarks.{name}").__doc__ or ""
            print(f"  {name:<15}{description.splitlines()[0]}")
        return 0
    if words[0] not in names():
        sys.stderr.write(f"benchmarks/run: there is no benchmark '{words[0]}', but {', '.join(names())}\n")
        return 2
    sys.argv = [f"benchmarks/run {words[0]}", *words[1:]]
    os.environ["PYTHONPATH"] = str(CHECKOUT)  # what benchmarks start are modules, in other directories, too
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return int(importlib.import_module(f"benchmarks.{words[0]}.benchmark").main() or 0)
    except KeyboardInterrupt:
        return 130


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
