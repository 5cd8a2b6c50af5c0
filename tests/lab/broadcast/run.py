# SPDX-License-Identifier: Apache-2.0
"""python -m tests.lab.broadcast.run SEED...: the scenarios of these seeds, in namespaces of this process.

The output has a JSON object per scenario: ``seed``, ``problems``, ``seconds``, and what it was. To be run by

    unshare --net --mount --pid --fork --kill-child --mount-proc
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from pyroute2 import netns

from benchmarks.broadcast.fleet import HEAD, Fleet
from kadeploy.broadcast.chain import ChainBroadcast
from kadeploy.broadcast.interface import BroadcastOptions, BroadcastProgress, Delivery, ImageSource, Recipient
from tests.unit.broadcast.local import alive

from .rig import NODES, RATE, Rig
from .scenario import Fault, Scenario, draw, problems

CONSUMER = """
    [ "$FAULT" != consumer ] || { head -c 1000000 > /dev/null; echo broken >&2; exit 3; }
    exec cat > "$OUT/image" """
OPTIONS = BroadcastOptions(
    window=2 << 20, silence=0.8, patience=20.0, absence=4.0, report_timeout=8.0, deadline=60.0
)


class Course:
    """One scenario from its beginning to its end."""

    def __init__(self, fleet: Fleet, bridge: int, scenario: Scenario) -> None:
        self._fleet, self._scenario = fleet, scenario
        self._rig = Rig(fleet, bridge, scenario)
        self._flows = asyncio.Event()

    async def run(self) -> list[str]:
        """What was wrong."""
        data = random.Random(self._scenario.seed).randbytes(self._scenario.size)
        image = self._fleet.folder / "image"
        image.write_bytes(data)
        self._rig.prepare()
        faults = asyncio.create_task(self._inflict())
        try:
            results = await ChainBroadcast().run(self._delivery(image, data), self._rig, self._follow)
        finally:
            faults.cancel()
            await asyncio.gather(faults, return_exceptions=True)
        exact = {node for node in self._scenario.nodes if self._holds(node, data)}
        found = problems(self._scenario, results, exact)
        found += [f"left behind: {command}" for command in await self._left()]
        await self._rig.mend()
        return found

    def _delivery(self, image: Path, data: bytes) -> Delivery:
        return Delivery(
            ImageSource(image, len(data), hashlib.sha256(data).hexdigest()),
            [Recipient(node, self._fleet.address(node)) for node in self._scenario.nodes],
            [["sh", "-c", CONSUMER]],
            self._fleet.address(HEAD),
            BroadcastOptions(**{**asdict(OPTIONS), "arity": self._scenario.arity}),
        )

    def _follow(self, progress: BroadcastProgress) -> None:
        if progress.received:
            self._flows.set()

    async def _inflict(self) -> None:
        await self._flows.wait()
        async with asyncio.TaskGroup() as group:
            for fault in self._scenario.faults:
                group.create_task(self._inflict_one(fault))

    async def _inflict_one(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at * self._scenario.arity * self._scenario.size * 8 / RATE)
        await self._rig.inflict(fault)

    def _holds(self, node: str, data: bytes) -> bool:
        stored = self._rig.stored(node)
        return stored.exists() and stored.read_bytes() == data

    async def _left(self) -> list[str]:
        """A consumer whose relay was killed sees the end of its input first."""
        give_up = time.monotonic() + 3
        while (found := alive(self._fleet.here)) and time.monotonic() < give_up:
            await asyncio.sleep(0.05)
        return found


def main(seeds: list[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
        fleet = Fleet(folder, NODES, RATE)
        with subprocess.Popen(["sleep", "infinity"]) as bridge, fleet.up():
            netns.setns(f"/proc/{fleet.holder(HEAD)}/ns/net")
            for seed in seeds:
                report(fleet, bridge.pid, draw(seed))
            os._exit(0)  # what is left ends with process 1 of its namespace


def report(fleet: Fleet, bridge: int, scenario: Scenario) -> None:
    began = time.monotonic()
    found = asyncio.run(Course(fleet, bridge, scenario).run())
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"problems": found, "seconds": seconds, **asdict(scenario)}), flush=True)


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]])
