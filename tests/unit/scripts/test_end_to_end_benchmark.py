# SPDX-License-Identifier: Apache-2.0
"""What the time of a deployment went into, of two nodes whose runs are written down here."""

from __future__ import annotations

import pytest

from benchmarks.end_to_end.path import Circumstances, StepRun, path

GIVEN = Circumstances(boot_delay=10, rate=8e6, boot_bytes=2_000_000, image_bytes=1_000_000)
SET, BROADCAST, BOOT = "SetDeploymentEnv", "BroadcastEnv", "BootNewEnv"

# Node 1 is late for the broadcast, node 2 comes back last.
RUNS = [
    StepRun("node-1", SET, "reboot", 101, 2),
    StepRun("node-1", SET, "wait_reboot", 103, 15),
    StepRun("node-1", SET, "format_deploy_part", 118.5, 1.5),
    StepRun("node-2", SET, "reboot", 101, 1),
    StepRun("node-2", SET, "wait_reboot", 102, 13),
    StepRun("node-2", SET, "format_deploy_part", 115, 1),
    StepRun("node-1", BROADCAST, "send_environment", 120, 4),
    StepRun("node-2", BROADCAST, "send_environment", 120, 3),
    StepRun("node-1", BROADCAST, "install_bootloader", 124, 1),
    StepRun("node-2", BROADCAST, "install_bootloader", 123.25, 2),
    StepRun("node-1", BOOT, "wait_reboot", 125, 10),
    StepRun("node-2", BOOT, "wait_reboot", 125.25, 11),
]


def test_the_path_goes_through_the_last_to_arrive_and_the_last_to_be_ready() -> None:
    found = path(RUNS, 100, 137)
    assert [(run.node, run.micro) for run in found.runs] == [
        ("node-1", "reboot"),
        ("node-1", "wait_reboot"),
        ("node-1", "format_deploy_part"),
        ("node-2", "send_environment"),
        ("node-2", "install_bootloader"),
        ("node-2", "wait_reboot"),
    ]
    assert found.last_node == "node-2"
    assert found.macro_seconds() == {SET: 19, BROADCAST: 5.25, BOOT: 11}


def test_all_parts_together_are_the_total() -> None:
    found = path(RUNS, 100, 137)
    given, added = found.given(GIVEN), found.added(GIVEN)
    assert given == {"boot delays": 20, "wire": 3, "disk": 1.5, "programs": 2}
    assert sum(given.values()) + sum(span.seconds for span in added) == found.total == 37
    spans = [(span.name, span.started, span.ended) for span in added if span.seconds]
    assert spans == [
        ("start", 100, 101),
        ("orders", 101, 103),
        ("boots", 115, 118),
        ("between", 118, 118.5),
        ("broadcast", 121, 123),
        ("between", 123, 123.25),
        ("boots", 135.25, 136.25),
        ("end", 136.25, 137),
    ]


@pytest.mark.parametrize("late", [0.0, 30.0])
def test_a_late_node_has_a_broadcast_of_its_own(late: float) -> None:
    runs = [*RUNS]
    if late:
        runs = [run for run in runs if run.node == "node-1"]
        runs += [
            StepRun(run.node, run.macro, run.micro, run.started + late, run.seconds)
            for run in RUNS
            if run.node == "node-2"
        ]
    nodes = [run.node for run in path(runs, 100, 170).runs]
    assert nodes == (["node-2"] * 6 if late else ["node-1"] * 3 + ["node-2"] * 3)


def test_without_a_limit_the_wire_takes_no_time() -> None:
    given = Circumstances(10, float("inf"), 2_000_000, 1_000_000)
    assert path(RUNS, 100, 137).given(given)["wire"] == 0


def test_a_broadcast_that_was_done_again_counts_twice() -> None:
    runs = [
        *RUNS[:3],
        StepRun("node-1", BROADCAST, "send_environment", 120, 4),
        StepRun("node-1", BROADCAST, "send_environment", 124, 3),
        StepRun("node-1", BOOT, "wait_reboot", 127, 10),
    ]
    found = path(runs, 100, 137)
    assert found.given(GIVEN)["wire"] == 4
    assert sum(span.seconds for span in found.added(GIVEN) if span.name == "broadcast") == 5
