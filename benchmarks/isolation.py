# SPDX-License-Identifier: Apache-2.0
"""A series of samples taken in namespaces of its own: network, mounts and processes, which all end with us.

The series is a module that calls ``tell``: a process that reads orders and prints a JSON object per sample.
It is process 1 of its namespace, so that whatever it has started ends with it, however it ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.benchmark import MeasurementError

Sample = TypeVar("Sample")

_NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"]
_ENTER = ["setpriv", "--pdeathsig", "KILL", *_NAMESPACES]


def take(
    kind: type[Sample],
    module: str,
    orders: Mapping[str, Any],
    see: Callable[[Sample], None],
    *,
    place: str | None = None,
    home: str = "",
) -> list[Sample]:
    """The samples of a series, which are of a dataclass; each is seen as soon as it comes.

    The series gets an empty folder, in ``place`` or where temporary files belong; ``home``:
    its HOME, below it.
    Raises MeasurementError where it fails, after it has said why on standard error.
    """
    name, samples = module.split(".")[-2].replace("_", "-"), []
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=place) as folder:
        Path(folder).chmod(0o755)  # some servers give up their rights
        environment = {**os.environ, "LC_ALL": "C"} | ({"HOME": f"{folder}/{home}"} if home else {})
        environment.pop("SSH_AUTH_SOCK", None)
        # In a process group of its own: what a terminal's Ctrl-C ends is us, and it ends with us.
        with subprocess.Popen(
            [*_ENTER, sys.executable, "-m", module, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environment,
            process_group=0,
        ) as process:
            try:
                assert process.stdout is not None
                give(process, orders, "the series of samples")
                for line in process.stdout:
                    samples.append(kind(**json.loads(line)))
                    see(samples[-1])
            except BaseException:
                process.kill()
                raise
    if process.returncode != 0:
        raise MeasurementError(f"the series of samples ended with status {process.returncode}")
    return samples


def give(process: subprocess.Popen[str], orders: Mapping[str, Any], name: str) -> None:
    """Write orders to a process as JSON, and end its input; ``name``: what the process is.

    Raises MeasurementError where it ends before it has read them.
    """
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(orders))
        process.stdin.close()
    except BrokenPipeError as error:
        raise MeasurementError(f"{name} took no orders") from error


def tell(samples: Callable[[Path, dict[str, Any]], Iterator[Any]]) -> None:
    """Print samples, which are dataclasses, for the orders on standard input and the folder of argv."""
    try:
        for sample in samples(Path(sys.argv[1]), json.load(sys.stdin)):
            print(json.dumps(asdict(sample)), flush=True)
    except MeasurementError as error:
        sys.exit(error.message)
