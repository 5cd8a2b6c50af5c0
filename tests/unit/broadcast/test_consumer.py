# SPDX-License-Identifier: Apache-2.0
"""The consumer of a node: what is killed has ended when it is said to be."""

from __future__ import annotations

from kadeploy.broadcast.node.consumer import Consumer
from kadeploy.local.process_stat import read_stat


def test_a_killed_pipeline_has_ended() -> None:
    for _ in range(20):
        consumer = Consumer([["sleep", "60"], ["sleep", "61"]])
        stages = list(consumer._stages)
        consumer.kill()
        assert [read_stat(stage.pid).state for stage in stages] == ["Z", "Z"]
        for stage in stages:
            stage.wait()
        consumer._stages.clear()
