# SPDX-License-Identifier: Apache-2.0
"""Readiness of the server: what works of all that operations need, and what does not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from kadeploy.boot.health import BootHealth
from kadeploy.errors import KadeployError
from kadeploy.store import counts
from kadeploy.store.store import Store
from kadeploy.time_limit import time_limit
from kadeploy.vocabulary.mode import Mode

STORE_SECONDS = 3.0  # in which a store that works has answered


@dataclass(frozen=True, slots=True)
class Readiness:
    """Readiness: what does not work, one sentence for each thing that was looked at, '' where it works."""

    problems: Mapping[str, str]

    @property
    def ready(self) -> bool:
        """Report that all works."""
        return not any(self.problems.values())

    def to_json(self) -> dict[str, object]:
        """Document of it."""
        return {"ready": self.ready, "problems": {name: text for name, text in self.problems.items() if text}}


async def look(store: Store, boot: BootHealth, configuration: str, mode: Mode) -> Readiness:
    """Look at everything at once; ``configuration`` is what was wrong when it was read last."""
    store_problem, boot_problem = await asyncio.gather(_store_problem(store), boot.problem())
    modes = {
        Mode.ACCEPT: "",
        Mode.DRAIN: "operations that have not begun wait: the mode is drain",
        Mode.REFUSE: "operations are refused: the mode is refuse",
    }
    return Readiness(
        {
            "store": store_problem,
            "configuration": configuration,
            "boot": boot_problem,
            "mode": modes[mode],
        }
    )


async def _store_problem(store: Store) -> str:
    try:
        async with time_limit(STORE_SECONDS):
            await counts.count(store)
    except TimeoutError:
        return f"the store has not answered within {STORE_SECONDS:g} s"
    except KadeployError as error:
        return error.message
    return ""
