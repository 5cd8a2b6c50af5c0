# SPDX-License-Identifier: Apache-2.0
"""When a link is cut, and when it is whole again: bytes and time are told, the cable is a list."""

from __future__ import annotations

from pathlib import Path

import pytest

from kadeploy.lab.container.cut import INTERVAL, LinkCut
from kadeploy.lab.faults import marks

MIB = 2**20


class Cable:
    """A cable with a cut, at a time of our own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bytes, self.now = 100, 1000.0
        self.plugged = [True]
        self.cut = LinkCut(directory, lambda: self.bytes, self.plugged.append, lambda: self.now)

    def after(self, seconds: float = 0, bytes: int = 0) -> bool:
        """Whether it is plugged in when so much has come to pass."""
        self.now += seconds
        self.bytes += bytes
        self.cut.update()
        return self.plugged[-1]


@pytest.fixture
def cable(tmp_path: Path) -> Cable:
    (tmp_path / marks.DIRECTORY).mkdir()
    return Cable(tmp_path)


def test_nothing_is_looked_at_without_the_fault(cable: Cable) -> None:
    cable.cut.arm(counting=True)
    assert cable.cut.limit_wait(None) is None and cable.cut.limit_wait(7) == 7
    assert cable.after(bytes=MIB)


def test_cut_after_some_bytes_for_some_seconds(cable: Cable) -> None:
    marks.write(cable.directory, "cut-link", "5@1MiB")
    cable.cut.arm(counting=True)
    assert cable.cut.limit_wait(None) == INTERVAL and cable.cut.limit_wait(0.01) == 0.01
    assert cable.after(bytes=MIB - 1)
    assert not cable.after(bytes=1)
    assert not cable.after(seconds=4.9)
    assert marks.value(cable.directory, "cut-link") == "5@1MiB"
    assert cable.after(seconds=0.2)
    assert marks.value(cable.directory, "cut-link") is None, "the fault is over"
    assert cable.cut.limit_wait(None) is None
    assert cable.plugged == [True, False, True]


def test_cut_at_once(cable: Cable) -> None:
    marks.write(cable.directory, "cut-link", "5")
    cable.cut.arm(counting=True)
    assert not cable.after()


def test_what_a_firmware_fetches_does_not_count(cable: Cable) -> None:
    marks.write(cable.directory, "cut-link", "5@1MiB")
    cable.cut.arm(counting=True)
    cable.cut.disarm()
    assert cable.after(bytes=50 * MIB)
    cable.cut.arm(counting=False)
    assert cable.after(bytes=50 * MIB)
    cable.cut.arm(counting=True)
    assert cable.after(bytes=MIB - 1)
    assert not cable.after(bytes=1)


def test_a_reboot_does_not_mend_the_cable(cable: Cable) -> None:
    marks.write(cable.directory, "cut-link", "5")
    cable.cut.arm(counting=True)
    assert not cable.after()
    cable.cut.disarm()
    cable.cut.arm(counting=True)
    assert cable.cut.is_on and not cable.after(seconds=4)
    assert cable.after(seconds=1)


def test_switching_the_fault_off_mends_the_cable(cable: Cable) -> None:
    marks.write(cable.directory, "cut-link", "5")
    cable.cut.arm(counting=True)
    assert not cable.after()
    marks.remove(cable.directory, "cut-link")
    cable.cut.arm(counting=True)
    assert cable.after() and not cable.cut.is_on
