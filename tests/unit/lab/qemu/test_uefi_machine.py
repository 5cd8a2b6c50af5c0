# SPDX-License-Identifier: Apache-2.0
"""A machine with UEFI and its BMC, on a real QEMU that does not run: what its firmware would find."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kadeploy.lab import machines
from kadeploy.lab.machine import Machine, Refused
from kadeploy.lab.qemu.command import PROGRAM
from kadeploy.lab.qemu.qmp import Qmp
from kadeploy.lab.qemu.uefi_machine import VARIABLES, UefiMachine

from .flash import CARD, PARTITION, PCI, option, order, read, write

NETWORK, DISK = option(2, "UEFI PXEv4", PCI, CARD), option(8, "kadeploy", PARTITION)
BY_NVRAM = {"net0": -1, "disk0": -1}
NETWORK_FIRST, DISK_ONLY = {"net0": 0, "disk0": 1}, {"net0": -1, "disk0": 0}


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "faults").mkdir()
    argv = [
        *(PROGRAM, "-nodefaults", "-display", "none", "-machine", "pc", "-boot", "strict=on", "-S"),
        *("-netdev", "user,id=wire0,restrict=on", "-device", "virtio-net-pci,id=net0,netdev=wire0"),
        *("-drive", "if=none,id=drive0,driver=null-co", "-device", "virtio-blk-pci,id=disk0,drive=drive0"),
        *("-qmp", f"unix:{tmp_path}/qmp.sock,server=on,wait=off"),
    ]
    fields = {"driver": "qemu", "firmware": "uefi", "argv": argv, "state": str(tmp_path)}
    (tmp_path / "machine.json").write_text(json.dumps(fields))
    yield tmp_path
    machines.machine_in(tmp_path).power_off()


@pytest.fixture
def machine(directory: Path) -> Machine:
    """Machine that has started before, and boots its disk first."""
    write(directory / VARIABLES, NETWORK, DISK, order(8, 2))
    it = machines.machine_in(directory)
    assert isinstance(it, UefiMachine)
    return it


def next_entry(machine: Machine) -> int | None:
    data = read(machine.directory / VARIABLES).get("BootNext")
    return None if data is None else int.from_bytes(data, "little")


def indexes(machine: Machine) -> dict[str, int]:
    with Qmp(machine.file("qmp.sock")) as qmp:
        return {
            device: qmp.execute("qom-get", path=f"/machine/peripheral/{device}", property="bootindex")
            for device in ("net0", "disk0")
        }


def fault(machine: Machine, kind: str, *, on: bool) -> None:
    mark = machine.directory / "faults" / kind
    mark.touch() if on else mark.unlink()
    if machine.pid is not None:
        machine.boot_order_changed()


@pytest.mark.parametrize(("device", "entry"), [("none", None), ("pxe", 2), ("default", 8)])
def test_the_order_of_the_bmc_is_for_one_boot(machine: Machine, device: str, entry: int | None) -> None:
    machine.set_boot_device(device)
    assert machine.start_arguments() == [], "a bootindex would make the firmware rewrite its boot order"
    assert next_entry(machine) == entry
    assert machine.boot_device == "none"


def test_the_first_start_is_from_the_network_and_no_later_one(directory: Path) -> None:
    write(directory / VARIABLES)
    machine = machines.machine_in(directory)
    expected = ["-set", "device.net0.bootindex=0", "-set", "device.disk0.bootindex=1"]
    assert machine.start_arguments() == expected
    machine.power_on()
    assert indexes(machine) == BY_NVRAM, "of the next reset"


def test_an_order_while_it_runs_is_carried_out_by_a_reset_of_the_bmc(machine: Machine) -> None:
    machine.power_on()
    first = machine.pid
    machine.reset()
    assert machine.pid == first
    machine.set_boot_device("pxe")
    assert (next_entry(machine), machine.pid) == (None, first), "QEMU would not see the file change"
    machine.reset()
    assert machine.pid not in (None, first)
    assert (next_entry(machine), machine.boot_device) == (2, "none")
    assert indexes(machine) == BY_NVRAM


def test_a_boot_fault_harms_no_nvram_for_good(machine: Machine) -> None:
    machine.power_on()
    before = (machine.directory / VARIABLES).read_bytes()
    fault(machine, "wrong-boot", on=True)
    assert indexes(machine) == DISK_ONLY
    write(machine.directory / VARIABLES, DISK, order(8))  # as the firmware does then
    machine.reset()
    fault(machine, "wrong-boot", on=False)
    assert indexes(machine) == NETWORK_FIRST, "of a system that restarts by itself"
    machine.reset()
    assert (machine.directory / VARIABLES).read_bytes() == before
    assert indexes(machine) == BY_NVRAM


def test_a_fault_of_a_machine_that_is_off(machine: Machine) -> None:
    before = (machine.directory / VARIABLES).read_bytes()
    fault(machine, "no-boot", on=True)
    machine.set_boot_device("pxe")
    assert machine.start_arguments() == ["-set", "device.net0.bootindex=0"]
    assert next_entry(machine) is None
    write(machine.directory / VARIABLES, NETWORK, order(2))
    fault(machine, "no-boot", on=False)
    assert machine.start_arguments() == []
    assert (machine.directory / VARIABLES).read_bytes() == before


def test_a_damaged_nvram_is_said(machine: Machine) -> None:
    (machine.directory / VARIABLES).write_bytes(bytes(4096))
    with pytest.raises(Refused, match="holds no UEFI variables"):
        machine.power_on()
    assert machine.pid is None
