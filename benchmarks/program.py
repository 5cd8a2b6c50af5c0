# SPDX-License-Identifier: Apache-2.0
"""The program benchmarks/run: options that all benchmarks have, signals, figures as JSON, exit statuses."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.benchmark import CHECKOUT, Benchmark, say
from kadeploy.errors import ExitStatus, KadeployError, RefusedError, UsageError

PROGRAM = "benchmarks/run"
USAGE = f"usage: {PROGRAM} NAME [OPTION]...\n\n'{PROGRAM} NAME --help' tells the options of a benchmark.\n"
EXIT_STATUS = """\
exit status
  0 measured, 1 failed, 2 usage, 3 refused: not root, or something was not built, 4 a service does not work,
  130 interrupted"""


def names() -> list[str]:
    """The benchmarks, which are the packages beside this module that have a module ``benchmark``."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("*/benchmark.py"))


def main(words: Sequence[str]) -> int:
    """Run the benchmark that the first word names, with the options behind it; its exit status."""
    if not words or words[0] in ("-h", "--help"):
        _show([USAGE, *map(_summary, names())])
        return ExitStatus.OK
    name, *options = words
    if name not in names():
        say(f"{PROGRAM}: there is no benchmark '{name}'; there are {', '.join(names())}")
        return ExitStatus.USAGE
    os.environ["PYTHONPATH"] = str(CHECKOUT)  # benchmarks start modules of theirs, in other directories, too
    signal.signal(signal.SIGTERM, _interrupt)
    benchmark: Benchmark = importlib.import_module(f"benchmarks.{name}.benchmark").BENCHMARK
    try:
        return _run(benchmark, _parser(name, benchmark), options)
    except KadeployError as error:
        say(f"{PROGRAM} {name}: {error.message}{f' ({error.hint})' if error.hint else ''}")
        return error.status
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED


def _run(benchmark: Benchmark, parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    options = parser.parse_args(words)
    if options.quick:
        parser.set_defaults(**benchmark.quick)
        options = parser.parse_args(words)
    benchmark.check(options)
    if benchmark.needs_root and os.geteuid() != 0:
        raise RefusedError("it needs root", hint="it makes namespaces of the network, or a lab")
    if options.json and not options.json.parent.is_dir():
        raise UsageError(f"--json: there is no directory {options.json.parent}")
    load = os.getloadavg()[0]
    result = benchmark.measure(options)
    if options.json:
        here = machine.describe([load, os.getloadavg()[0]]) | result.machine
        options.json.write_text(json.dumps({**result.figures, "machine": here}, indent=1) + "\n")
    _show(result.lines)
    return ExitStatus.OK if result.good else ExitStatus.NODES_FAILED


def _show(lines: Iterable[str]) -> None:
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:  # who reads has seen enough, as 'head' does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser(name: str, benchmark: Benchmark) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} {name}",
        description=benchmark.description,
        epilog="\n\n".join(filter(None, [benchmark.details.strip("\n"), EXIT_STATUS])),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    benchmark.add_options(parser)
    parser.add_argument("--quick", action="store_true", help=benchmark.quickly)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there, too")
    return parser


def _summary(name: str) -> str:
    text = importlib.import_module(f"benchmarks.{name}").__doc__ or ""
    return textwrap.fill(f"{name:<15}{text}", 110, initial_indent="  ", subsequent_indent=" " * 17)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
