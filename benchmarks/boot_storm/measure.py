# SPDX-License-Identifier: Apache-2.0
"""One storm: so many machines fetch from one server at the same moment."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.benchmark import MeasurementError
from benchmarks.boot_storm.network import HEAD, addresses
from benchmarks.boot_storm.servers import HTTP_PORT, TFTP_PORT, Server
from benchmarks.boot_storm.usage import watching

PATIENCE = 900.0  # seconds for one storm


@dataclass(frozen=True, slots=True)
class Case:
    """Files that the machines fetch; ``firmware`` says how where it is by TFTP, and is empty for HTTP."""

    name: str
    firmware: str
    files: tuple[str, ...]

    @property
    def protocol(self) -> str:
        """The protocol of the server."""
        return "tftp" if self.firmware else "http"


@dataclass(frozen=True, slots=True)
class Sample:
    """One storm. Seconds are of a machine that got everything: of half of them, of 99 %, of the last one.

    ``failed``: machines that did not; ``errors``: why, of some; ``repeated``: packets or requests that
    machines sent again; ``megabytes_per_second``: all together until the last had ended; ``processor``:
    seconds of the server, ``client_processor`` of the program that plays the machines; memory in MB.
    """

    case: str
    server: str
    machines: int
    failed: int
    errors: list[str]
    repeated: int
    median: float
    p99: float
    last: float
    megabytes_per_second: float
    processor: float
    client_processor: float
    memory: float
    tcp_memory: float
    descriptors: int
    processes: int


def storm(
    server: Server, process: int, case: Case, machines: int, folder: Path, before: Sequence[str]
) -> Sample:
    """Let so many machines fetch; ``before``: what lets a command run where the machines are."""
    orders = {
        "host": HEAD,
        "port": TFTP_PORT if case.firmware else HTTP_PORT,
        "addresses": addresses(machines),
        "folder": str(folder),
        "files": case.files,
        "firmware": case.firmware,
    }
    program = [*before, sys.executable, "-m", f"benchmarks.boot_storm.{case.protocol}_client"]
    with watching(process) as usage:
        done = subprocess.run(
            program, input=json.dumps(orders), capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    if done.returncode != 0:
        raise MeasurementError(f"{case.name} from {server.name}: {done.stderr[-2000:]}")
    result = json.loads(done.stdout)
    outcomes = result["machines"]
    good = sorted(one["seconds"] for one in outcomes if not one["error"])
    end = max(one["seconds"] for one in outcomes)
    return Sample(
        case=case.name,
        server=server.name,
        machines=machines,
        failed=len(outcomes) - len(good),
        errors=sorted({one["error"] for one in outcomes if one["error"]})[:3],
        repeated=sum(one["repeated"] for one in outcomes),
        median=_quantile(good, 0.5),
        p99=_quantile(good, 0.99),
        last=good[-1] if good else math.nan,
        megabytes_per_second=sum(one["bytes"] for one in outcomes) / end / 1e6,
        processor=usage.processor,
        client_processor=result["processor"],
        memory=usage.memory / 1e6,
        tcp_memory=usage.tcp_memory / 1e6,
        descriptors=usage.descriptors,
        processes=usage.processes,
    )


def _quantile(values: Sequence[float], part: float) -> float:
    return values[max(0, math.ceil(part * len(values)) - 1)] if values else math.nan
