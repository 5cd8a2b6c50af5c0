# SPDX-License-Identifier: Apache-2.0
"""Making zstd of an image's file; kaenv --recompress itself is in tests/unit/cli."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from kadeploy.environments.compression import Compression
from kadeploy.environments.environment import Environment, Image, System
from kadeploy.environments.recompression import WORTH, advice, recompress, target_of
from kadeploy.errors import NotFoundError, RefusedError

CONTENT = b"some content, " * 10_000
PACK: dict[Compression, Callable[[bytes], bytes]] = {
    Compression.GZIP: gzip.compress,
    Compression.BZIP2: bz2.compress,
    Compression.XZ: lzma.compress,
}


def image(folder: Path, data: bytes, name: str = "image.tgz") -> tuple[Path, str]:
    path = folder / name
    path.write_bytes(data)
    return path, hashlib.sha256(data).hexdigest()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("compression", list(PACK))
def test_the_same_content_under_another_name(tmp_path: Path, compression: Compression) -> None:
    path, digest = image(tmp_path, PACK[compression](CONTENT))
    path.chmod(0o604)
    made = recompress(path, compression, digest, threading.Event())
    data = made.path.read_bytes()
    assert zstandard.ZstdDecompressor().decompressobj().decompress(data) == CONTENT
    assert zstandard.get_frame_parameters(data).has_checksum
    assert (made.sha256, made.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert made.former_size == path.stat().st_size
    assert made.path.stat().st_mode & 0o777 == 0o604
    assert names(tmp_path) == ["image.tar.zst", "image.tgz"]


def test_the_digest_counts_what_lies_behind_the_content(tmp_path: Path) -> None:
    data = bz2.compress(CONTENT)
    path, digest = image(tmp_path, data + b"something else, " * 10_000)
    with pytest.raises(RefusedError, match="is not what is recorded of it"):
        recompress(path, Compression.BZIP2, hashlib.sha256(data).hexdigest(), threading.Event())
    assert names(tmp_path) == ["image.tgz"]
    made = recompress(path, Compression.BZIP2, digest, threading.Event())
    content = zstandard.ZstdDecompressor().decompressobj().decompress(made.path.read_bytes())
    assert content == CONTENT


@pytest.mark.parametrize("compression", list(PACK))
@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"x" + data], ids=["cut", "other"])
def test_what_cannot_be_unpacked(
    tmp_path: Path, compression: Compression, damage: Callable[[bytes], bytes]
) -> None:
    path, digest = image(tmp_path, damage(PACK[compression](CONTENT)))
    with pytest.raises(RefusedError, match=f"{path} cannot be unpacked"):
        recompress(path, compression, digest, threading.Event())
    assert names(tmp_path) == ["image.tgz"]


@pytest.mark.parametrize("name", ["none.tgz", "folder"])
def test_an_image_that_is_gone(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(NotFoundError, match=f"{tmp_path / name} (cannot be read|is not a file)"):
        recompress(tmp_path / name, Compression.GZIP, "", threading.Event())
    assert names(tmp_path) == ["folder"]


def test_somebody_else_makes_it_meanwhile(tmp_path: Path) -> None:
    path, digest = image(tmp_path, gzip.compress(CONTENT))

    def progress(*_: object) -> None:
        (tmp_path / "image.tar.zst").write_text("theirs")

    with pytest.raises(RefusedError, match=r"image\.tar\.zst exists already"):
        recompress(path, Compression.GZIP, digest, threading.Event(), progress)
    assert (tmp_path / "image.tar.zst").read_text() == "theirs"
    assert names(tmp_path) == ["image.tar.zst", "image.tgz"]


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("a.tgz", "a.tar.zst"),
        ("a.tbz2", "a.tar.zst"),
        ("a.tbz", "a.tar.zst"),
        ("a.txz", "a.tar.zst"),
        ("a.tar.xz", "a.tar.zst"),
        ("a.tgz.gz", "a.tgz.zst"),
        ("a.img", "a.img.zst"),
        (".gz", ".zst"),
    ],
)
def test_names_of_the_new_file(name: str, made: str) -> None:
    assert target_of(Path("/srv") / name) == Path("/srv") / made


@pytest.mark.parametrize(
    ("compression", "size", "told"),
    [
        (Compression.GZIP, WORTH, "some 60 MB/s of what it receives, zstd at 220"),
        (Compression.BZIP2, WORTH, "some 9 MB/s"),
        (Compression.XZ, WORTH, "`recompress` mine makes its broadcast faster"),
        (Compression.XZ, WORTH - 1, ""),
        (Compression.ZSTD, WORTH, ""),
    ],
)
def test_advice(tmp_path: Path, compression: Compression, size: int, told: str) -> None:
    with (tmp_path / "image").open("wb") as file:
        os.truncate(file.fileno(), size)
    described = Image(f"server://{tmp_path}/image", "dd", compression)
    found = advice(Environment("mine", "alice", System.OTHER, described))
    assert told in found and bool(told) == bool(found)


def test_advice_on_an_image_of_another_machine() -> None:
    described = Image("http://192.0.2.1/image", "dd", Compression.GZIP)
    assert ": zstd makes its broadcast faster" in advice(
        Environment("mine", "alice", System.OTHER, described)
    )
