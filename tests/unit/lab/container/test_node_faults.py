# SPDX-License-Identifier: Apache-2.0
"""What marks of faults mean to a container node, and how long its firmware suffers lost requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from kadeploy.lab.container import driver
from kadeploy.lab.container.disk import NO_DEFECT, Defect
from kadeploy.lab.container.loss import RequestLoss
from kadeploy.lab.container.node_faults import LAYERS, NodeFaults
from kadeploy.lab.faults import marks

USUAL = ("net", "disk")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / marks.DIRECTORY).mkdir()
    return tmp_path


def test_a_sound_node(directory: Path) -> None:
    faults = NodeFaults(directory)
    assert (faults.is_unplugged, faults.rate, faults.layers, faults.lost_requests) == (
        False,
        "",
        (),
        0,
    )
    assert (faults.defect, faults.delay(5), faults.order(USUAL)) == (NO_DEFECT, 5, USUAL)
    assert not faults.firmware_hangs()


def test_a_node_with_all_faults(directory: Path) -> None:
    values = {"late-boot": "7.5", "disk-full": "2MiB", "slow-link": "1mbit", "lost-requests": "3"}
    for kind in ("link-down", "slow-boot", "disk-read-only", "minios-hang", "mute-sshd"):
        values[kind] = ""
    for kind, value in values.items():
        marks.write(directory, kind, value)
    faults = NodeFaults(directory)
    assert (faults.is_unplugged, faults.rate, faults.lost_requests) == (True, "1mbit", 3)
    assert (faults.defect, faults.delay(2)) == (Defect(read_only=True, capacity=2 * 2**20), 27.5)
    assert faults.layers == LAYERS == tuple(driver.FAULTY)


@pytest.mark.parametrize(("kind", "order"), [("no-boot", ()), ("wrong-boot", ("disk",))])
def test_boot_order(directory: Path, kind: str, order: tuple[str, ...]) -> None:
    marks.write(directory, kind, "")
    assert NodeFaults(directory).order(USUAL) == order


@pytest.mark.parametrize(("value", "boots"), [("", 0), ("0", 0), ("2", 2)])
def test_a_firmware_hangs_after_boots_that_go_well(directory: Path, value: str, boots: int) -> None:
    marks.write(directory, "firmware-hang", value)
    faults = NodeFaults(directory)
    assert [faults.firmware_hangs() for _ in range(boots + 2)] == [False] * boots + [True, True]


@pytest.mark.parametrize(("lost", "seconds"), [(0, 0), (1, 0.25), (5, 7.75)])
def test_lost_requests_cost_time(lost: int, seconds: float) -> None:
    slept: list[float] = []
    loss = RequestLoss(lost, slept.append)
    loss.delay()
    loss.delay()
    assert sum(slept) == seconds


def test_ipxe_gives_up_after_six_lost_requests() -> None:
    slept: list[float] = []
    loss = RequestLoss(7, slept.append)
    with pytest.raises(OSError, match=r"timed out .*ipxe\.org/4c0a6035"):
        loss.delay()
    assert sum(slept) == 15.75
    loss.delay()
    assert sum(slept) == 16
