# SPDX-License-Identifier: Apache-2.0
"""What is kept of the seals of images, and what of that is believed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from kadeploy.broadcast import seal_cache
from kadeploy.broadcast.seal_cache import SealCache

SEALS = [hashlib.sha256(bytes([number])).digest() for number in range(3)]
DIGEST = SEALS[-1].hex()


@pytest.fixture
def cache(tmp_path: Path) -> SealCache:
    return SealCache(tmp_path / "cache" / "seals")


def test_seals_by_digest_and_size_of_the_chunks(cache: SealCache) -> None:
    assert cache.load(DIGEST, 100, 3) == []
    cache.keep(100, SEALS)
    assert cache.load(DIGEST, 100, 3) == SEALS
    assert cache.load(DIGEST, 100, 2) == []
    assert cache.load(DIGEST, 200, 3) == []
    assert cache.load(SEALS[0].hex(), 100, 3) == []
    assert [path.name for path in cache.directory.iterdir()] == [f"{DIGEST}-100"]


@pytest.mark.parametrize("at", [0, 32, 95, 96, 127])
def test_damaged_file_is_not_believed(cache: SealCache, at: int) -> None:
    cache.keep(100, SEALS)
    [path] = cache.directory.iterdir()
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    assert cache.load(DIGEST, 100, 3) == []
    path.write_bytes(content[:-1])
    assert cache.load(DIGEST, 100, 3) == []
    cache.keep(100, SEALS)
    assert cache.load(DIGEST, 100, 3) == SEALS


def test_file_of_another_image(cache: SealCache) -> None:
    cache.keep(100, SEALS)
    (cache.directory / f"{DIGEST}-100").rename(cache.directory / f"{SEALS[0].hex()}-100")
    assert cache.load(SEALS[0].hex(), 100, 3) == []


def test_oldest_seals_make_room(cache: SealCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal_cache, "MAX_BYTES", 3 * 64)
    cache.directory.mkdir(parents=True)
    (cache.directory / ".left-by-a-killed-process").write_bytes(bytes(10))
    os.utime(cache.directory / ".left-by-a-killed-process", (1, 1))
    for number, seal in enumerate(SEALS):
        cache.keep(100, [seal])
        os.utime(cache.directory / f"{seal.hex()}-100", (number + 2, number + 2))
    assert all(cache.load(seal.hex(), 100, 1) for seal in SEALS)
    newest = hashlib.sha256(b"newest").digest()
    cache.keep(100, [newest])
    assert {path.name for path in cache.directory.iterdir()} == {
        f"{seal.hex()}-100" for seal in (*SEALS[1:], newest)
    }


def test_cache_that_cannot_be_made_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = SealCache(tmp_path / "file" / "seals")
    cache.keep(100, SEALS)
    assert cache.load(DIGEST, 100, 3) == []
