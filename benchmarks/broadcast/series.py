# SPDX-License-Identifier: Apache-2.0
"""The series of `broadcast`, in namespaces of its own.

Its orders: ``mode`` ("compare", "faults", "capacity"), ``nodes`` (a list of numbers), ``rate`` (0: what suits
the number of nodes), ``seconds`` (line time of the file), ``runs``, ``budget`` (no repetition begins that
would end after so many seconds), ``patience`` (seconds to wait for a quiet moment before each run), ``again``
(how often a rejected run is repeated), ``methods``, ``kinds``, ``only`` (a part of the names of faults).
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import isolation
from benchmarks.broadcast import capacity, plan
from benchmarks.broadcast.clock import await_quiet
from benchmarks.broadcast.faults import faults, measure_fault
from benchmarks.broadcast.fleet import Fleet
from benchmarks.broadcast.loads import Load, make_file, make_tree
from benchmarks.broadcast.measure import Sample, measure
from benchmarks.broadcast.methods import METHODS, Method

QUIET = 0.15  # share of the processors that others may use when a run begins
NICENESS = -15  # what else runs on the machine shall disturb little
MAKERS = {"file": make_file, "tree": make_tree}


class Loads:
    """The files to send, each made when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[str, int], Load] = {}

    def get(self, kind: str, size: int) -> Load:
        if (kind, size) not in self._made:
            place = self._folder / f"{kind}-{size}"
            place.mkdir(parents=True)
            self._made[kind, size] = MAKERS[kind](place / "image", size)
        return self._made[kind, size]

    def forget(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._made.clear()


class Bench:
    """The samples of one set of orders; `folder` is in memory and private."""

    def __init__(self, folder: Path, orders: Mapping[str, Any]) -> None:
        self._folder = folder
        self._orders = orders
        self._loads = Loads(folder / "loads")

    def samples(self) -> Iterator[Sample]:
        """Take every sample once, again and again: what disturbs one method hits the others."""
        began, longest = time.monotonic(), 0.0
        for repetition in range(self._orders["runs"]):
            start = time.monotonic()
            if repetition and start - began + longest > self._orders["budget"]:
                return
            yield from self._repetition()
            longest = max(longest, time.monotonic() - start)

    def _repetition(self) -> Iterator[Sample]:
        if self._orders["mode"] == "capacity":
            yield from self._capacity()
            return
        for nodes in self._orders["nodes"]:
            fleet = Fleet(self._folder, nodes, self._orders["rate"] or plan.rate_for(nodes))
            with fleet.up():
                yield from self._faults(fleet) if self._orders["mode"] == "faults" else self._compare(fleet)
            self._loads.forget()

    def _compare(self, fleet: Fleet) -> Iterator[Sample]:
        for kind in self._orders["kinds"]:
            for name in self._orders["methods"]:
                method = METHODS[name]
                if kind in method.kinds:
                    load = self._load(fleet, kind, method)
                    yield from self._accepted(partial(measure, fleet, method, load))

    def _accepted(self, take: Callable[[], Sample]) -> Iterator[Sample]:
        """A sample; and further ones, though not for ever, as long as they are rejected."""
        for _ in range(1 + self._orders["again"]):
            await_quiet(QUIET, self._orders["patience"])
            sample = take()
            yield sample
            if not sample.rejected:
                return

    def _load(self, fleet: Fleet, kind: str, method: Method) -> Load:
        assert fleet.rate
        seconds = self._orders["seconds"]
        if method.star:
            seconds = plan.star_seconds(len(fleet.nodes), seconds)
        return self._loads.get(kind, plan.size_for(fleet.rate, seconds))

    def _faults(self, fleet: Fleet) -> Iterator[Sample]:
        assert fleet.rate
        load = self._loads.get("file", plan.size_for(fleet.rate, self._orders["seconds"]))
        for method in self._orders["methods"]:
            for fault in faults(len(fleet.nodes), self._orders["only"]):
                yield from self._accepted(partial(measure_fault, fleet, method, load, fault))

    def _capacity(self) -> Iterator[Sample]:
        load = self._loads.get("file", capacity.SIZE)
        for wire, fleet in capacity.fleets(self._folder).items():
            with fleet.up():
                cases = itertools.product(self._orders["methods"], [wire], capacity.SINKS, [True, False])
                for method, kind, sink, hashing in cases:
                    take = partial(capacity.measure_capacity, fleet, method, load, kind, sink, hashing)
                    yield from self._accepted(take)


def samples(folder: Path, orders: dict[str, Any]) -> Iterator[Sample]:
    """All that was ordered, until all repetitions are done or the time is over."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80%", "tmpfs", str(folder)], check=True)
    os.nice(NICENESS)
    os.environ["TMPDIR"] = str(folder)  # what nodes have in common with this machine is only to be read
    return Bench(folder, orders).samples()


if __name__ == "__main__":
    isolation.tell(samples)
