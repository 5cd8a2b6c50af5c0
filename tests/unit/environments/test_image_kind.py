# SPDX-License-Identifier: Apache-2.0
"""Kinds of images: which there are, and the pipelines that take their streams."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import MappingProxyType

import pytest

from kadeploy.environments.image_kind import IMAGE_KINDS, ImageKind, consumer

GZIP = ("gzip", "-dc")


class CopiedFile(ImageKind):
    """Image that a program copies, which cannot read a stream."""

    name = "copied"
    brings_file_system = True
    suits_whole_disk = True
    streamed = False
    required_fields = MappingProxyType({})

    def command(self, source: str, device: str, directory: str) -> list[str]:
        return ["cp", source, device]


def take(kind: ImageKind, content: bytes, device: Path, file: Path) -> int:
    """Status of the last command of a pipeline that this machine runs."""
    status = 0
    for command in consumer(kind, ["gzip", "-c"], str(device), "/none", str(file)):
        done = subprocess.run(command, input=content, capture_output=True, check=False)
        content, status = done.stdout, done.returncode
    return status


def test_the_kinds_of_the_product() -> None:
    assert {"dd", "tar"} <= set(IMAGE_KINDS.names)


@pytest.mark.parametrize(
    ("name", "pipeline"),
    [
        (
            "tar",
            "gzip -dc | tar -xpf - -C /mnt --numeric-owner --acls --xattrs --xattrs-include=*",
        ),
        ("dd", "gzip -dc | dd of=/dev/sda3 bs=1M iflag=fullblock conv=fsync"),
    ],
)
def test_streamed_images_are_taken_while_they_arrive(name: str, pipeline: str) -> None:
    commands = consumer(IMAGE_KINDS[name], GZIP, "/dev/sda3", "/mnt", "/unused")
    assert " | ".join(" ".join(command) for command in commands) == pipeline


def test_other_images_are_files_first(tmp_path: Path) -> None:
    device, file = tmp_path / "device", tmp_path / "ram" / "image"
    assert take(CopiedFile(), b"bytes", device, file) == 0
    assert subprocess.run([*GZIP, device], capture_output=True, check=True).stdout == b"bytes"
    assert list((tmp_path / "ram").iterdir()) == []


def test_the_file_is_removed_where_the_command_fails(tmp_path: Path) -> None:
    assert take(CopiedFile(), b"bytes", tmp_path / "none" / "device", tmp_path / "image") == 1
    assert list(tmp_path.iterdir()) == []
