# SPDX-License-Identifier: Apache-2.0
"""What became of a machine that fetched its boot files, and the frame of both programs that play machines."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Files = list[tuple[str, bytes]]


@dataclass(slots=True)
class Outcome:
    """``seconds``: to the end, good or bad; ``repeated``: packets or requests sent again."""

    address: str
    seconds: float = 0.0
    bytes: int = 0
    repeated: int = 0
    error: str = ""
    _began: float = field(default_factory=time.monotonic, repr=False)

    def end(self, error: str = "") -> None:
        """Note that it has ended, and why it failed."""
        self.seconds = time.monotonic() - self._began
        self.error = error


def fetch_all(
    fetch: Callable[[dict[str, Any], Files], list[Outcome]], orders: dict[str, Any]
) -> dict[str, Any]:
    """Carry out orders: ``host``, ``port``, ``addresses`` of the machines, ``folder`` and ``files`` in it.

    The result has ``machines``, a list of outcomes, and the ``processor`` seconds that playing them took.
    """
    files = [(name, (Path(orders["folder"]) / name).read_bytes()) for name in orders["files"]]
    began = time.process_time()
    outcomes = fetch(orders, files)
    return {"machines": [asdict(one) for one in outcomes], "processor": time.process_time() - began}
