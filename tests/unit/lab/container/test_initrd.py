# SPDX-License-Identifier: Apache-2.0
"""Initrds of several archives, packed or not, are unpacked as a kernel does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kadeploy.lab.container import initrd

pytestmark = pytest.mark.needs("cpio", "zstd", "xz")


def archive(directory: Path, name: str, text: str) -> bytes:
    directory.mkdir()
    (directory / name).write_text(text)
    argv = ["cpio", "--quiet", "-o", "-H", "newc"]
    return subprocess.run(argv, input=name.encode(), cwd=directory, capture_output=True, check=True).stdout


def packed(program: str, data: bytes) -> bytes:
    return subprocess.run([program, "-c"], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("program", ["zstd", "gzip", "xz"])
def test_archives_one_after_another(tmp_path: Path, program: str) -> None:
    keys, system = archive(tmp_path / "a", "key", "of here"), archive(tmp_path / "b", "init", "#!/bin/sh")
    file = tmp_path / "initrd"
    file.write_bytes(keys + bytes(512) + keys + packed(program, system))
    target = tmp_path / "target"
    target.mkdir()
    initrd.unpack(file, target)
    assert {path.name: path.read_text() for path in target.iterdir()} == {
        "key": "of here",
        "init": "#!/bin/sh",
    }


def test_nothing_leaves_the_directory(tmp_path: Path) -> None:
    (tmp_path / "above").write_text("x")
    (tmp_path / "in").mkdir()
    made = subprocess.run(
        ["cpio", "--quiet", "-o", "-H", "newc"], input=b"../above", cwd=tmp_path / "in", capture_output=True,
        check=True,
    )  # fmt: skip
    (tmp_path / "above").write_text("untouched")
    (tmp_path / "initrd").write_bytes(made.stdout)
    target = tmp_path / "target"
    target.mkdir()
    initrd.unpack(tmp_path / "initrd", target)
    assert (tmp_path / "above").read_text() == "untouched"


@pytest.mark.parametrize("data", [b"no archive", b"070701" + b"0" * 200])
def test_what_is_no_initrd(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "initrd").write_bytes(data)
    with pytest.raises(OSError, match=r"no initrd|no end"):
        initrd.unpack(tmp_path / "initrd", tmp_path)
