# SPDX-License-Identifier: Apache-2.0
"""kaenv --recompress, and the hint that leads to it."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from kadeploy.environments import recompression
from kadeploy.environments.compression import Compression
from kadeploy.environments.recompression import recompress, target_of
from kadeploy.errors import RefusedError
from tests.unit.cli.conftest import Command

CONTENT = random.Random(2).randbytes(300_000) * 4
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
}


def record(command: Command, folder: Path, file: str, compression: str, data: bytes | None = None) -> None:
    path = folder / Path(file).name
    path.write_bytes(PACK[compression](CONTENT) if data is None else data)
    (folder / "env.yaml").write_text(
        f"{{name: mine, os: linux, image: {{file: '{file}', kind: dd, compression: {compression}}}, "
        "boot: {kernel: /vmlinuz}, filesystem: ext4}\n"
    )
    done = command("kaenv", "-a", folder / "env.yaml")
    assert (done.returncode, done.stderr) == (0, "")


def image(command: Command) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command("kaenv", "-p", "mine", "--json").stdout)[0]["image"]
    return found


@pytest.mark.parametrize(
    ("file", "compression", "made"),
    [
        ("image.tgz", "gzip", "image.tar.zst"),
        ("image.tar.bz2", "bzip2", "image.tar.zst"),
        ("image.img.xz", "xz", "image.img.zst"),
        ("image", "gzip", "image.zst"),
    ],
)
@pytest.mark.root
def test_the_environment_has_a_zstd_image(
    command: Command, tmp_path: Path, file: str, compression: str, made: str
) -> None:
    record(command, tmp_path, file, compression)
    (tmp_path / file).chmod(0o640)
    os.chown(tmp_path / file, 1234, 1234)
    done = command("kaenv", "--recompress", "mine")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert f"mine:1 has now {tmp_path / made}, " in done.stderr and "is still there" in done.stderr
    new, status = tmp_path / made, (tmp_path / made).stat()
    assert image(command) == {
        "file": str(new),
        "kind": "dd",
        "compression": "zstd",
        "sha256": hashlib.sha256(new.read_bytes()).hexdigest(),
    }
    assert zstandard.ZstdDecompressor().decompressobj().decompress(new.read_bytes()) == CONTENT
    assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o640, 1234, 1234)
    assert (tmp_path / file).exists()
    assert left(tmp_path) == []


def test_a_uri_stays_one(process: Command, tmp_path: Path) -> None:
    record(process, tmp_path, f"server://{tmp_path}/image.tgz", "gzip")
    assert process("kaenv", "--recompress", "mine").returncode == 0
    assert image(process)["file"] == f"server://{tmp_path}/image.tar.zst"


def left(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(".recompressing-*")]


def refused(command: Command, folder: Path, message: str) -> None:
    before = image(command)
    done = command("kaenv", "--recompress", "mine")
    assert (done.returncode, done.stdout) == (3, "")
    assert message in done.stderr
    assert image(command) == before
    assert left(folder) == []


def test_zstd_is_left_alone(command: Command, tmp_path: Path) -> None:
    record(command, tmp_path, "image.tar.zst", "zstd")
    refused(command, tmp_path, "the image of mine:1 is zstd already")


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz"])
@pytest.mark.parametrize("damage", [lambda data: data[:-5000], lambda data: data[:5000] + b"x" * 9999])
def test_a_damaged_image(tmp_path: Path, compression: str, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "image"
    path.write_bytes(damage(PACK[compression](CONTENT)))
    with pytest.raises(RefusedError, match=f"{path} cannot be unpacked: "):
        recompress(path, Compression(compression), "", threading.Event())
    assert not (tmp_path / "image.zst").exists()


def test_another_image_than_the_recorded_one(command: Command, tmp_path: Path) -> None:
    record(command, tmp_path, "image.tgz", "gzip")
    (tmp_path / "image.tgz").write_bytes(gzip.compress(b"other"))
    refused(command, tmp_path, "is not what is recorded of it")
    assert not (tmp_path / "image.tar.zst").exists()


def test_nothing_is_overwritten(command: Command, tmp_path: Path) -> None:
    record(command, tmp_path, "image.tgz", "gzip")
    (tmp_path / "image.tar.zst").write_text("precious")
    refused(command, tmp_path, f"{tmp_path}/image.tar.zst exists already")
    assert (tmp_path / "image.tar.zst").read_text() == "precious"


def test_one_version_at_a_time(command: Command) -> None:
    done = command("kaenv", "--recompress", "mine", "-s")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--recompress is for one version" in done.stderr


def packed(folder: Path) -> tuple[Path, str]:
    path = folder / "image.tgz"
    path.write_bytes(gzip.compress(CONTENT))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_result_that_grows_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, digest = packed(tmp_path)
    monkeypatch.setattr(recompression, "MOST_GROWTH", 0)
    monkeypatch.setattr(recompression, "SPARE", 1000)
    with pytest.raises(RefusedError, match="would have more than 1000 bytes"):
        recompress(path, Compression.GZIP, digest, threading.Event())
    assert [entry.name for entry in tmp_path.iterdir()] == ["image.tgz"]


def test_it_can_be_stopped(tmp_path: Path) -> None:
    path, digest = packed(tmp_path)
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(InterruptedError):
        recompress(path, Compression.GZIP, digest, stopped)
    assert [entry.name for entry in tmp_path.iterdir()] == ["image.tgz"]


def test_progress_ends_at_the_size(tmp_path: Path) -> None:
    path, digest = packed(tmp_path)
    told: list[tuple[int, int | None]] = []
    recompress(path, Compression.GZIP, digest, threading.Event(), lambda *news: told.append(news))
    assert told[-1] == (path.stat().st_size, path.stat().st_size)


def test_names() -> None:
    names = ["a.tgz", "a.tbz2", "a.txz", "a.tar.gz", "a.img.bz2", "a"]
    made = [target_of(Path(f"/srv/{name}")).name for name in names]
    assert made == ["a.tar.zst", "a.tar.zst", "a.tar.zst", "a.tar.zst", "a.img.zst", "a.zst"]


@pytest.mark.parametrize(
    ("compression", "size", "hinted"),
    [("gzip", 33 << 20, True), ("xz", 33 << 20, True), ("gzip", 31 << 20, False), ("zstd", 33 << 20, False)],
)
def test_a_hint_when_adding(
    command: Command, tmp_path: Path, compression: str, size: int, hinted: bool
) -> None:
    with (tmp_path / "image").open("wb") as file:
        if compression == "zstd":  # a frame that readers skip
            file.write(b"\x50\x2a\x4d\x18" + (size - 100).to_bytes(4, "little"))
            file.seek(size - 100 + 8)
        file.write(PACK[compression](b"image"))
        if compression != "zstd":
            file.truncate(size)
    text = f"{{name: mine, os: other, image: {{file: image, kind: dd, compression: {compression}}}}}"
    (tmp_path / "env.yaml").write_text(text)
    done = command("kaenv", "-a", "env.yaml")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.startswith(f"hint: a node unpacks {compression} at some ") == hinted
    assert ("kaenv --recompress mine" in done.stderr) == hinted
