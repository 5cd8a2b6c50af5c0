# SPDX-License-Identifier: Apache-2.0
"""The loaders on an EFI system partition that others may use as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from kadeploy.disks.uefi.loaders import loader_of, point, release_removable


def write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def files_of(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def install(root: Path, number: int, loader: str) -> None:
    """What a deployment does on the ESP; grub-install writes the loader."""
    release_removable(root)
    write(root, {loader_of(number): loader})
    point(root, number)


POINTER = {"EFI/kadeploy/boot.cfg": "chainloader /EFI/kadeploy-3/grubx64.efi\n"}
WINDOWS = {"EFI/Microsoft/Boot/bootmgfw.efi": "windows", "EFI/BOOT/BOOTX64.EFI": "windows"}


def test_an_empty_partition(tmp_path: Path) -> None:
    install(tmp_path, 3, "first")
    loaders = {"EFI/kadeploy-3/grubx64.efi": "first", "EFI/BOOT/BOOTX64.EFI": "first"}
    assert files_of(tmp_path) == POINTER | loaders


def test_a_system_is_replaced_with_its_removable_path(tmp_path: Path) -> None:
    install(tmp_path, 3, "first")
    install(tmp_path, 3, "second")
    loaders = {"EFI/kadeploy-3/grubx64.efi": "second", "EFI/BOOT/BOOTX64.EFI": "second"}
    assert files_of(tmp_path) == POINTER | loaders


def test_two_systems_of_ours_and_the_last_one_boots(tmp_path: Path) -> None:
    install(tmp_path, 4, "four")
    install(tmp_path, 3, "three")
    loaders = {"EFI/kadeploy-3/grubx64.efi": "three", "EFI/kadeploy-4/grubx64.efi": "four"}
    assert files_of(tmp_path) == POINTER | loaders | {"EFI/BOOT/BOOTX64.EFI": "three"}


@pytest.mark.parametrize("number", [3, 4])
def test_what_others_have_there_is_left_alone(tmp_path: Path, number: int) -> None:
    write(tmp_path, WINDOWS | {"EFI/kadeploy/notes": "of a user"})
    install(tmp_path, 4, "four")
    install(tmp_path, number, "last")
    kept = {path: text for path, text in files_of(tmp_path).items() if "kadeploy-" not in path}
    pointer = f"chainloader /EFI/kadeploy-{number}/grubx64.efi\n"
    others = WINDOWS | {"EFI/kadeploy/notes": "of a user"}
    assert kept == others | {"EFI/kadeploy/boot.cfg": pointer}


def test_an_installation_that_was_broken_off_is_done_again(tmp_path: Path) -> None:
    install(tmp_path, 3, "first")
    release_removable(tmp_path)
    write(tmp_path, {loader_of(3): "half"})
    assert "EFI/BOOT/BOOTX64.EFI" not in files_of(tmp_path)
    install(tmp_path, 3, "second")
    assert files_of(tmp_path)["EFI/BOOT/BOOTX64.EFI"] == "second"
