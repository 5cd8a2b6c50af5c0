# SPDX-License-Identifier: Apache-2.0
"""The machine behind a BMC: what ipmi_sim is told, with a real process in the place of QEMU."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kadeploy.lab import machine
from kadeploy.lab.qemu.command import PROGRAM
from kadeploy.lab.qemu.machine import QemuMachine
from kadeploy.lab.qemu.qmp import Qmp


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "faults").mkdir()
    # `sh -c script name -set device.net0…`: the boot order that is appended becomes its arguments.
    argv = ["sh", "-c", 'echo "$@"; exec sleep 60', "machine"]
    (tmp_path / "machine.json").write_text(
        json.dumps({"driver": "qemu", "argv": argv, "state": str(tmp_path)})
    )
    yield tmp_path
    QemuMachine(str(tmp_path)).power_off()


def chassis(directory: Path, *arguments: str) -> tuple[int, str, str]:
    """The program as ipmi_sim runs it: an interpreter without site-packages."""
    argv = [sys.executable, "-s", "-S", "-m", "kadeploy.lab.chassis", str(directory), *arguments]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=20, check=False, cwd=Path(machine.__file__).parents[2]
    )
    return done.returncode, done.stdout, done.stderr


def test_power(directory: Path) -> None:
    assert chassis(directory, "get", "power") == (0, "power:0\n", "")
    assert chassis(directory, "set", "power", "1")[0] == 0
    assert chassis(directory, "get", "power")[1] == "power:1\n"
    pid = QemuMachine(str(directory)).pid
    assert chassis(directory, "set", "power", "1")[0] == 0
    assert QemuMachine(str(directory)).pid == pid
    assert chassis(directory, "set", "power", "0")[0] == 0
    assert chassis(directory, "get", "power")[1] == "power:0\n"
    assert chassis(directory, "set", "power", "0")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("set", "reset", "1"), "the machine is off"),
        (("set", "shutdown", "1"), "the machine is off"),
        (("set", "boot", "floppy"), "no boot device"),
        (("set", "nonsense", "1"), "cannot set nonsense"),
        (("get", "nonsense"), "cannot get nonsense"),
    ],
)
def test_refusals(directory: Path, arguments: tuple[str, ...], reason: str) -> None:
    status, _, stderr = chassis(directory, *arguments)
    assert status == 1
    assert reason in stderr


def test_fault_no_power(directory: Path) -> None:
    (directory / "faults" / "no-power").touch()
    assert chassis(directory, "set", "power", "1")[0] == 1
    assert chassis(directory, "get", "power") == (0, "power:0\n", "")


def test_fault_bmc_lies(directory: Path) -> None:
    (directory / "faults" / "bmc-lies").touch()
    assert chassis(directory, "get", "power") == (0, "power:0\n", ""), "nothing was asked of it yet"
    assert chassis(directory, "set", "power", "1") == (0, "", "")
    assert chassis(directory, "get", "power") == (0, "power:1\n", "")
    assert QemuMachine(str(directory)).pid is None
    assert chassis(directory, "set", "boot", "pxe")[0] == chassis(directory, "set", "reset", "1")[0] == 0
    assert chassis(directory, "set", "power", "0")[0] == 0
    assert chassis(directory, "get", "power")[1] == "power:0\n"
    (directory / "faults" / "bmc-lies").unlink()
    assert chassis(directory, "set", "power", "1")[0] == 0
    assert QemuMachine(str(directory)).pid is not None


def test_a_lab_that_closes_starts_nothing(directory: Path) -> None:
    (directory / machine.CLOSING).touch()
    assert "being taken down" in chassis(directory, "set", "power", "1")[2]


@pytest.mark.parametrize(
    ("device", "fault", "order"),
    [
        ("none", "", {"net0": 0, "disk0": 1}),
        ("pxe", "", {"net0": 0, "disk0": 1}),
        ("default", "", {"net0": 1, "disk0": 0}),
        ("default", "no-boot", {"net0": 0, "disk0": -1}),
        ("pxe", "wrong-boot", {"net0": -1, "disk0": 0}),
    ],
)
def test_boot_order(directory: Path, device: str, fault: str, order: dict[str, int]) -> None:
    if fault:
        (directory / "faults" / fault).touch()
    assert chassis(directory, "set", "boot", device)[0] == 0
    assert chassis(directory, "get", "boot")[1] == f"boot:{device}\n"
    assert QemuMachine(str(directory)).boot_order() == order


def test_reset_of_a_real_qemu_applies_the_boot_order(directory: Path) -> None:
    argv = [
        *(PROGRAM, "-nodefaults", "-display", "none", "-machine", "pc", "-boot", "strict=on", "-S"),
        *("-netdev", "user,id=wire0,restrict=on", "-device", "virtio-net-pci,id=net0,netdev=wire0"),
        *("-drive", "if=none,id=drive0,driver=null-co", "-device", "virtio-blk-pci,id=disk0,drive=drive0"),
        *("-qmp", f"unix:{directory}/qmp.sock,server=on,wait=off"),
    ]
    (directory / "machine.json").write_text(
        json.dumps({"driver": "qemu", "argv": argv, "state": str(directory)})
    )
    it = QemuMachine(str(directory))
    it.power_on()
    assert indexes(it) == {"net0": 0, "disk0": 1}
    it.set_boot_device("default")
    it.reset()
    assert indexes(it) == {"net0": 1, "disk0": 0}


def indexes(it: QemuMachine) -> dict[str, int]:
    with Qmp(it.file("qmp.sock")) as qmp:
        return {
            device: qmp.execute("qom-get", path=f"/machine/peripheral/{device}", property="bootindex")
            for device in ("net0", "disk0")
        }
