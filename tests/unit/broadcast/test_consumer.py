# SPDX-License-Identifier: Apache-2.0
"""The consumer of a node: what is killed has ended when it is said to be."""

from __future__ import annotations

from pathlib import Path

from kadeploy.broadcast.node.consumer import Consumer


def test_a_killed_pipeline_has_ended() -> None:
    for _ in range(20):
        consumer = Consumer([["sleep", "60"], ["sleep", "61"]])
        stages = list(consumer._stages)
        consumer.kill()
        states = [
            Path(f"/proc/{stage.pid}/stat").read_text().rpartition(")")[2].split()[0] for stage in stages
        ]
        assert states == ["Z", "Z"]
        for stage in stages:
            stage.wait()
        consumer._stages.clear()
