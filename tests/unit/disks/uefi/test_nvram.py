# SPDX-License-Identifier: Apache-2.0
"""The NVRAM of a firmware, which a program stands for that takes what efibootmgr takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kadeploy.disks.uefi import nvram, partition_table, programs
from kadeploy.disks.uefi.partition_table import ESP, PartitionTable, TableEntry
from kadeploy.disks.uefi.programs import UefiFault

UUID = "0c9a2f0e-8d5f-4a57-9e54-35b2ce1b8a11"
TABLE = PartitionTable("/dev/vda", (TableEntry(2, "/dev/vda2", ESP, UUID),))

# $NVRAM has `order` and an entry in each file Boot….
EFIBOOTMGR = """#!/bin/sh
cd "$NVRAM" || exit
case $1 in
-v)
    echo "BootCurrent: 0003"
    printf 'BootOrder: '; cat order
    for entry in Boot*; do printf '%s* ' "$entry"; cat "$entry"; done ;;
--bootnum)
    rm "Boot$2"
    sed -i "s/$2//; s/,,/,/; s/^,//; s/,$//" order ;;
--create-only)
    [ ! -e full ] || { echo "Could not prepare Boot variable: No space left on device" >&2; exit 5; }
    [ -e forgets ] ||
        printf '%s\\tHD(%s,GPT,UUID,0x800,0x1000)/File(%s)\\n' "$7" "$5" "$9" >Boot0009 ;;
--bootorder)
    [ -e stubborn ] || echo "$2" >order ;;
esac
echo "$*" >>told
""".replace("UUID", UUID)
NETWORK = "UEFI PXEv4\tPciRoot(0x0)/MAC(525400ab0101,1)/IPv4(0.0.0.0)\n"
UI = "UiApp\tFvVol(7cb8bdc9)\n"
CREATE = r"--create-only --disk /dev/vda --part 2 --label kadeploy-3 --loader \EFI\kadeploy-3\grubx64.efi"
ELSEWHERE = "kadeploy-3\tHD(2,GPT,aaaaaaaa-bbbb,0x800,0x1000)/File(\\EFI\\kadeploy-3\\grubx64.efi)\n"
SFDISK = """#!/bin/sh
[ "$2" = /dev/cciss/c0d0 ] || { echo "cannot open $2" >&2; exit 1; }
echo label: gpt
echo "/dev/cciss/c0d0p2 : start=2048, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=AAAAAAAA-BBBB"
"""


class Firmware:
    """Entries of the NVRAM, and what it was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("order", "0000,0003\n")
        self.write("Boot0000", UI)
        self.write("Boot0003", NETWORK)

    def write(self, name: str, text: str = "") -> None:
        (self.folder / name).write_text(text)

    @property
    def order(self) -> str:
        return (self.folder / "order").read_text().strip()

    @property
    def told(self) -> list[str]:
        told = self.folder / "told"
        return [line for line in told.read_text().splitlines() if line != "-v"] if told.exists() else []


@pytest.fixture
def firmware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Firmware:
    commands, variables, state = tmp_path / "bin", tmp_path / "efivars", tmp_path / "nvram"
    for folder in (commands, variables, state):
        folder.mkdir()
    for name, text in {
        "efibootmgr": EFIBOOTMGR,
        "mount": '#!/bin/sh\necho mount "$@" >>"$NVRAM/told"\n',
    }.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setenv("NVRAM", str(state))
    monkeypatch.setattr(nvram, "VARIABLES", variables)
    monkeypatch.setattr(partition_table, "DISKS", tmp_path / "block")
    return Firmware(state)


def register(root: Path) -> None:
    nvram.register(TABLE, TABLE.entries[0], root, 3)


def test_the_network_first_and_then_the_disk(firmware: Firmware, tmp_path: Path) -> None:
    register(tmp_path)
    mount = f"mount -t efivarfs efivarfs {tmp_path}/efivars"
    assert firmware.told == [mount, CREATE, "--bootorder 0003,0009,0000"]


def test_what_is_right_is_not_written_again(firmware: Firmware, tmp_path: Path) -> None:
    register(tmp_path)
    (firmware.folder / "told").unlink()
    register(tmp_path)
    assert not [line for line in firmware.told if not line.startswith("mount")]


def test_stale_entries_go(firmware: Firmware, tmp_path: Path) -> None:
    (tmp_path / "EFI/kadeploy-4").mkdir(parents=True)
    firmware.write("Boot0001", ELSEWHERE)
    firmware.write("Boot0002", f"kadeploy-4\tHD(2,GPT,{UUID})/File(\\EFI\\kadeploy-4\\grubx64.efi)\n")
    firmware.write("order", "0001,0002,0000,0003\n")
    register(tmp_path)
    assert firmware.told[1:] == [
        "--bootnum 0001 --delete-bootnum",
        CREATE,
        "--bootorder 0003,0009,0002,0000",
    ]


def add_disk(folder: Path, name: str, partition: str) -> None:
    (folder / "block" / name / partition).mkdir(parents=True)
    (folder / "block" / name / partition / "partition").write_text("2\n")
    (folder / "bin/sfdisk").write_text(SFDISK)
    (folder / "bin/sfdisk").chmod(0o755)


def test_an_entry_of_another_disk_stays(firmware: Firmware, tmp_path: Path) -> None:
    add_disk(tmp_path, "cciss!c0d0", "cciss!c0d0p2")
    firmware.write("Boot0001", ELSEWHERE)
    firmware.write("order", "0001,0000,0003\n")
    register(tmp_path)
    assert firmware.told[1:] == [CREATE, "--bootorder 0003,0009,0001,0000"]


def test_entries_stay_where_a_disk_cannot_be_read(
    firmware: Firmware, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_disk(tmp_path, "sdb", "sdb1")
    firmware.write("Boot0001", ELSEWHERE)
    firmware.write("order", "0001,0000,0003\n")
    register(tmp_path)
    assert firmware.told[1:] == [CREATE, "--bootorder 0003,0009,0001,0000"]
    reason = "sfdisk has failed: cannot open /dev/sdb"
    kept = "boot entries of earlier deployments are kept, for a disk cannot be read"
    assert capsys.readouterr().out == f"note: {kept}: {reason}\n"


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("full", "efibootmgr has failed: Could not prepare Boot variable: No space left on device"),
        ("forgets", "the firmware has not kept the entry kadeploy-3"),
        ("stubborn", "the firmware has not kept the boot order"),
    ],
)
def test_firmware_that_does_not_keep_it(
    firmware: Firmware, tmp_path: Path, fault: str, sentence: str
) -> None:
    firmware.write(fault)
    with pytest.raises(UefiFault) as raised:
        register(tmp_path)
    assert str(raised.value) == sentence
    assert firmware.order == "0000,0003"


def test_a_kernel_without_its_variables(
    firmware: Firmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvram, "VARIABLES", tmp_path / "nowhere")
    with pytest.raises(UefiFault, match="the kernel gives no access to the variables of the firmware"):
        register(tmp_path)
    assert firmware.told == []


def test_a_minios_without_efibootmgr(
    firmware: Firmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin/efibootmgr").unlink()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin/mount").write_text("#!/bin/sh\n")
    with pytest.raises(UefiFault, match=r"^the miniOS has no efibootmgr$"):
        register(tmp_path)


def test_firmware_that_does_not_answer(
    firmware: Firmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin/efibootmgr").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(programs, "_LIMIT", 0.5)
    with pytest.raises(UefiFault, match=r"^efibootmgr did not end within 0.5 s$"):
        register(tmp_path)


def test_all_that_is_told_to_a_firmware_is_bounded(
    firmware: Firmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin/efibootmgr").write_text(EFIBOOTMGR.replace("cd", "sleep 0.4; cd", 1))
    monkeypatch.setattr(nvram, "_SECONDS", 0.6)
    with pytest.raises(UefiFault, match=r"^efibootmgr did not end within 0\.[0-9]+ s$"):
        register(tmp_path)
    assert firmware.order == "0000,0003"


def test_addresses_of_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, address in {"eth0": "52:54:00:AB:01:01", "lo": "00:00:00:00:00:00"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "address").write_text(f"{address}\n")
    monkeypatch.setattr(nvram, "CARDS", tmp_path)
    assert nvram.card_addresses() == ["525400ab0101"]
