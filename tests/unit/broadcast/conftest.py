# SPDX-License-Identifier: Apache-2.0
"""An image, and a bench that broadcasts it between local processes and checks what arrived."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from kadeploy.broadcast.chain import ChainBroadcast
from kadeploy.broadcast.interface import (
    BroadcastOptions,
    BroadcastProgress,
    Delivery,
    ImageSource,
    Pipeline,
    RelayResult,
)

from .local import HEAD, LocalTransport, alive, recipients

IMAGE_BYTES = (24 << 20) + 12345
STORE: Pipeline = [["sh", "-c", 'exec cat > "$OUT/$NODE"']]
# As STORE, but a node whose gate is there takes no more than the bytes that it says until it is opened.
GATED: Pipeline = [
    [
        "sh",
        "-c",
        'exec > "$OUT/$NODE"; gate=$OUT/$NODE.gate; [ ! -e "$gate" ] || head -c "$(cat "$gate")"; '
        'while [ -e "$gate" ]; do sleep 0.05; done; exec cat',
    ]
]


class Bench:
    """Broadcasts `image` and knows what the nodes must have written."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.folder = folder
        self.data = image.read_bytes()
        self.source = ImageSource(image, len(self.data), hashlib.sha256(self.data).hexdigest())
        # A healthy relay that waits for a processor must not seem dead on a busy machine.
        self.options = BroadcastOptions(
            window=1 << 20, silence=3.0, patience=20.0, report_timeout=20.0, deadline=40.0
        )
        self.transport = LocalTransport(folder)
        self.results: Mapping[str, RelayResult] = {}
        self.progress: list[BroadcastProgress] = []

    async def run(self, count: int, consumer: Pipeline | str = STORE) -> Mapping[str, RelayResult]:
        delivery = Delivery(self.source, recipients(count), consumer, HEAD, self.options)
        self.results = await ChainBroadcast().run(delivery, self.transport, self.progress.append)
        return self.results

    def declare(self, sha256: str) -> None:
        self.source = replace(self.source, sha256=sha256)

    def shut_gates(self, *nodes: str, after: int = 0) -> None:
        """Let the consumers of `nodes` take `after` bytes, and no more until the gates are opened."""
        for node in nodes:
            (self.folder / f"{node}.gate").write_text(str(after))

    def open_gates(self) -> None:
        for gate in self.folder.glob("*.gate"):
            gate.unlink()

    def consumed(self, size: int) -> set[str]:
        """The nodes whose consumers have taken `size` bytes."""
        return {report.node for report in self.progress if report.consumed >= size}

    def stored(self, node: str) -> bool:
        return (self.folder / node).read_bytes() == self.data

    def assert_exact(self, results: Mapping[str, RelayResult], failed: set[str]) -> None:
        """Exactly `failed` failed, each with a reason, and all others hold the image byte for byte."""
        reasons = {
            node: (result.reason, result.evidence) for node, result in results.items() if not result.ok
        }
        assert set(reasons) == failed, reasons
        assert [node for node in results if node not in failed and not self.stored(node)] == []


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "image"
    path.write_bytes(random.Random(5).randbytes(IMAGE_BYTES))
    return path


@pytest.fixture
def bench(image: Path, tmp_path: Path) -> Iterator[Bench]:
    """Checks after each test that nothing was left running."""
    bench = Bench(image, tmp_path)
    yield bench
    bench.open_gates()
    give_up = time.monotonic() + 15  # a consumer whose relay was killed sees the end of its input first
    while alive(tmp_path) and time.monotonic() < give_up:
        time.sleep(0.05)
    assert alive(tmp_path) == []
