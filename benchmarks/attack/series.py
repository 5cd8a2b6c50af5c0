# SPDX-License-Identifier: Apache-2.0
"""The series of attack, in namespaces of its own: pairs of storms, one without and one with a flood.

Its orders: ``floods`` (kinds), ``pairs``, ``machines``, ``bytes`` (of the kernel).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import isolation
from benchmarks.attack import floods
from benchmarks.boot_storm.measure import Case, Sample, storm
from benchmarks.boot_storm.network import HEAD, addresses, cable
from benchmarks.boot_storm.servers import OURS, SERVERS

CASES = (Case("boot program, TFTP", "uefi", ("program",)), Case("kernel, HTTP", "", ("kernel",)))
PROGRAM_SIZE = 300_000  # bytes
ADDRESSES = [f"10.99.{net}.{host}" for net in range(128, 136) for host in range(1, 26)]
_STRANGERS = "10.99.128.0/20"  # all of them addresses of the namespace of the machines
_BEFORE = 4.0  # seconds for which the flood runs before the machines come: its start is over


@dataclass(frozen=True, slots=True)
class PairedStorm:
    """Two storms of the same machines; seconds are the median of the machines that got everything.

    ``failed`` and ``failed_before``: machines that did not, with the flood and without.
    """

    flood: str
    case: str
    without: float
    under: float
    failed_before: int
    failed: int


def samples(folder: Path, orders: dict[str, Any]) -> Iterator[PairedStorm]:
    """Each kind of flood with each case, in pairs: one server for both storms of a pair."""
    files = folder / "files"
    files.mkdir()
    for name, size in (("program", PROGRAM_SIZE), ("kernel", orders["bytes"])):
        (files / name).write_bytes(os.urandom(size))
    server = next(one for one in SERVERS if one.name == OURS)
    with cable("") as before:
        subprocess.run([*before, "ip", "route", "add", "local", _STRANGERS, "dev", "lo"], check=True)
        for kind in orders["floods"]:
            for case in CASES:
                for _ in range(orders["pairs"]):
                    with server.running(files, folder / "server") as process:
                        pair = (process, case, orders["machines"], files, before)
                        storm(server, *pair)  # the first one of a server is slower
                        quiet = storm(server, *pair)
                        with _flood(kind, before):
                            under = storm(server, *pair)
                        yield _paired(kind, quiet, under)


def _paired(kind: str, quiet: Sample, under: Sample) -> PairedStorm:
    return PairedStorm(kind, quiet.case, quiet.median, under.median, quiet.failed, under.failed)


@contextmanager
def _flood(kind: str, before: Sequence[str]) -> Iterator[None]:
    argv = [*before, sys.executable, floods.__file__, kind, HEAD, addresses(1)[0], *ADDRESSES]
    with subprocess.Popen(argv) as process:
        try:
            time.sleep(_BEFORE)
            yield
        finally:
            process.kill()


if __name__ == "__main__":
    isolation.tell(samples)
