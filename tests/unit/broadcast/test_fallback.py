# SPDX-License-Identifier: Apache-2.0
"""Nodes without Python get the image by HTTP, behind those of the chain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from kadeploy.broadcast.fallback import NOTE, ChainOrPull
from kadeploy.broadcast.interface import Delivery, Trouble

from .conftest import STORE, Bench
from .local import HEAD, LocalProcess, LocalTransport, recipients
from .pulling import SmallTransport

pytestmark = pytest.mark.needs("curl")


class MixedTransport(LocalTransport):
    """n2 and n4 have no Python."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.small = SmallTransport(folder, "curl")

    async def start(self, node: str, arguments: Sequence[str]) -> LocalProcess:
        if node in ("n2", "n4"):
            return await self.small.start(node, arguments)
        return await super().start(node, arguments)


async def test_nodes_without_python(bench: Bench, tmp_path: Path) -> None:
    delivery = Delivery(bench.source, recipients(5), STORE, HEAD, bench.options)
    results = await ChainOrPull().run(delivery, MixedTransport(tmp_path), bench.progress.append)
    bench.assert_exact(results, set())
    assert {node: result.notes for node, result in results.items() if result.notes} == {
        "n2": (NOTE, "fetched by curl"),
        "n4": (NOTE, "fetched by curl"),
    }


async def test_other_failures_are_not_tried_again(bench: Bench, tmp_path: Path) -> None:
    transport = MixedTransport(tmp_path)
    transport.unreachable.add("n1")
    transport.small.unreachable.add("n2")
    delivery = Delivery(
        bench.source, recipients(3), [["sh", "-c", "cat >/dev/null; exit 3"]], HEAD, bench.options
    )
    results = await ChainOrPull().run(delivery, transport, bench.progress.append)
    assert [(result.trouble, result.notes) for result in results.values()] == [
        (Trouble.NODE, ()),
        (Trouble.NODE, ()),
        (Trouble.CONSUMER, ()),
    ]


async def test_a_python_that_will_not_do(bench: Bench, tmp_path: Path) -> None:
    transport = SmallTransport(tmp_path, "curl")
    (transport.bin / "python3").write_text("#!/bin/sh\nexit 1\n")
    (transport.bin / "python3").chmod(0o755)
    delivery = Delivery(bench.source, recipients(1), STORE, HEAD, bench.options)
    bench.assert_exact(await ChainOrPull().run(delivery, transport, bench.progress.append), set())
