# SPDX-License-Identifier: Apache-2.0
"""Boot entries in an NVRAM, and the one that is ordered for the next boot."""

from __future__ import annotations

from pathlib import Path

import pytest

from kadeploy.lab.qemu.nvram import Nvram, NvramError

from .flash import (
    BEING_REPLACED,
    CARD,
    DELETED,
    OTHER,
    PARTITION,
    PCI,
    PROGRAM,
    STORE_BYTES,
    option,
    order,
    read,
    variable,
    write,
)

ENTRIES = [
    option(0, "UiApp", PROGRAM),
    option(1, "UEFI Misc Device", PCI),
    option(2, "UEFI PXEv4", PCI, CARD),
    option(3, "UEFI PXEv4 2", PCI, CARD),
    option(0xA, "kadeploy", PARTITION),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "OVMF_VARS.fd"


@pytest.mark.parametrize(
    ("numbers", "network", "disk"),
    [
        ((2, 10, 1, 0, 3), 2, 10),
        ((0, 3, 1, 2), 3, 1),
        ((0, 1), None, 1),
        ((0,), None, None),
        ((7, 2), 2, None),  # 7 has been deleted
    ],
)
def test_the_first_entries_of_the_order(
    file: Path, numbers: tuple[int, ...], network: int | None, disk: int | None
) -> None:
    write(file, *ENTRIES, order(*numbers))
    nvram = Nvram(file)
    assert (nvram.network_entry(), nvram.disk_entry()) == (network, disk)


def test_deleted_and_foreign_variables_do_not_count(file: Path) -> None:
    write(
        file,
        *ENTRIES,
        option(2, "a disk once", PCI, state=DELETED),
        order(3, 2, state=DELETED),
        order(2, 3, state=BEING_REPLACED),
        variable("BootOrder", b"\x03\0", vendor=OTHER),
    )
    assert Nvram(file).network_entry() == 2


def test_an_nvram_without_a_variable(file: Path) -> None:
    write(file)
    nvram = Nvram(file)
    assert (nvram.network_entry(), nvram.disk_entry()) == (None, None)
    nvram.boot_next(2)
    assert read(file) == {"BootNext": b"\x02\0"}


def test_next_boot_leaves_all_else(file: Path) -> None:
    write(file, *ENTRIES, order(10, 2))
    before, size = read(file), file.stat().st_size
    Nvram(file).boot_next(2)
    Nvram(file).boot_next(0x103)
    assert read(file) == {**before, "BootNext": b"\x03\x01"}
    assert file.stat().st_size == size
    assert file.read_bytes().endswith(b"behind")


@pytest.mark.parametrize("room", range(0, 84, 4))
def test_a_full_nvram_is_refused_and_left(file: Path, room: int) -> None:
    """A record of BootNext takes 80 bytes: header 60, name 18, data 2."""
    head, frame = 28, len(variable("x", b""))
    write(file, variable("x", bytes(STORE_BYTES - head - frame - room)))
    before = file.read_bytes()
    if room >= 80:
        Nvram(file).boot_next(1)
        return
    with pytest.raises(NvramError, match="is full"):
        Nvram(file).boot_next(1)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "too short"), (bytes(49), "too short"), (bytes(4096), "holds no UEFI variables")],
)
def test_other_files_are_refused(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    with pytest.raises(NvramError, match=message):
        Nvram(file)


def test_a_damaged_variable_is_refused(file: Path) -> None:
    write(file, variable("x", b"data"))
    content = bytearray(file.read_bytes())
    content[72 + 28 + 40 : 72 + 28 + 44] = b"\xff\xff\0\0"  # the size of its data
    file.write_bytes(content)
    with pytest.raises(NvramError, match="damaged"):
        Nvram(file).network_entry()
