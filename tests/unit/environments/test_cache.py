# SPDX-License-Identifier: Apache-2.0
"""The cache directory: copies under their digests, facts about things, and what is done without it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from kadeploy.environments.cache import ABANDONED, FileCache
from kadeploy.errors import ServiceError

DIGEST = "d" * 64


@pytest.fixture
def cache(tmp_path: Path) -> FileCache:
    return FileCache(tmp_path / "a/cache", 100)


def test_a_copy_is_found_under_its_digest_and_marked_as_used(cache: FileCache) -> None:
    temporary = cache.temporary()
    temporary.write_bytes(b"content")
    os.utime(temporary, (1, 1))
    path = cache.keep(temporary, DIGEST)
    assert path.read_bytes() == b"content" and not temporary.exists()
    status = path.stat()
    assert cache.image(DIGEST) == path
    assert path.stat().st_ctime_ns == status.st_ctime_ns, "its digest is still believed"
    assert time.time() - (cache.directory / "uses" / DIGEST).stat().st_mtime < 60
    assert cache.image("e" * 64) is None


def test_nobody_else_sees_what_is_in_it(cache: FileCache) -> None:
    cache.temporary()
    cache.remember("digests", "/i", {})
    for name in ("images", "digests"):
        assert (cache.directory / name).stat().st_mode & 0o077 == 0


def test_facts_are_kept_by_thing_and_kind(cache: FileCache) -> None:
    cache.remember("digests", "/a\n1:2", {"sha256": DIGEST, "size": 3})
    cache.remember("digests", "/b", {})
    cache.remember("digests", "/a\n1:2", {"sha256": "new"})
    assert cache.recall("digests", "/a\n1:2") == {"sha256": "new"}
    assert cache.recall("digests", "/b") == cache.recall("downloads", "/a\n1:2") == {}
    names = [path.name for path in (cache.directory / "digests").iterdir()]
    assert len(names) == 2 and not [name for name in names if name.startswith(".")]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'"text"', b"null", b"\xff\xfe"])
def test_facts_that_cannot_be_read_are_none(cache: FileCache, content: bytes) -> None:
    cache.remember("downloads", "http://x", {"sha256": DIGEST})
    [file] = (cache.directory / "downloads").iterdir()
    file.write_bytes(content)
    assert cache.recall("downloads", "http://x") == {}


def test_what_is_not_the_caches_own_is_left_alone(cache: FileCache) -> None:
    cache.directory.mkdir(parents=True)
    precious = cache.directory / "precious"
    precious.write_bytes(b"x" * 500)
    os.utime(precious, (1, 1))
    cache.evict()
    assert precious.exists()


@pytest.mark.parametrize(("age", "stays"), [(ABANDONED - 60, True), (ABANDONED + 60, False)])
def test_temporary_files_are_somebodys_for_a_day(cache: FileCache, age: float, stays: bool) -> None:
    temporary = cache.temporary()
    os.utime(temporary, (time.time() - age, time.time() - age))
    cache.evict()
    assert temporary.exists() == stays


@pytest.mark.parametrize(
    "use",
    [
        lambda cache: cache.temporary(),
        lambda cache: cache.image(DIGEST),
        lambda cache: cache.evict(),
        lambda cache: cache.remember("digests", "/a", {}),
    ],
    ids=["temporary", "image", "evict", "remember"],
)
def test_a_directory_that_cannot_be_made(tmp_path: Path, use: Any) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ServiceError, match=r"the cache .*/file/\w+ cannot be used: Not a directory"
    ) as caught:
        use(FileCache(tmp_path / "file", 100))
    assert caught.value.hint == "set cache.directory in server.conf"


def test_facts_of_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert FileCache(tmp_path / "file", 100).recall("digests", "/a") == {}
