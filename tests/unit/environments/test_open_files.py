# SPDX-License-Identifier: Apache-2.0
"""What was checked is what is sent, whatever is done to the files after the plan was made."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kadeploy.environments import cache as caches
from kadeploy.environments import local_file
from kadeploy.environments.cache import FileCache
from kadeploy.environments.local_file import fetch, fetch_copied
from kadeploy.environments.open_files import ChangedFileError, OpenFiles
from kadeploy.errors import NotFoundError, RefusedError, ServiceError

GOOD, EVIL = b"good content", b"evil content"


@pytest.fixture
def cache(tmp_path: Path) -> FileCache:
    return FileCache(tmp_path / "cache", 1000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "post.tgz"
    path.write_bytes(GOOD)
    return path


def replace_by_name(path: Path) -> None:
    path.with_suffix(".new").write_bytes(EVIL)
    path.with_suffix(".new").replace(path)


def write_into(path: Path) -> None:
    """As rsync --inplace -t does: size, inode and time of the last change of the content stay."""
    status = path.stat()
    with path.open("r+b") as file:
        file.write(EVIL)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [replace_by_name, write_into, Path.unlink])
async def test_a_small_file_is_sent_as_it_was_checked(path: Path, cache: FileCache, change: object) -> None:
    file = await fetch_copied(str(path), cache)
    assert callable(change)
    change(path)
    async with OpenFiles([file]) as files:
        change(path) if path.exists() else None
        assert await files.read(file) == GOOD
        assert files.path(file).read_bytes() == GOOD
    assert (file.name, file.sha256) == ("post.tgz", hashlib.sha256(GOOD).hexdigest())


async def test_a_large_file_is_open_from_the_beginning(
    path: Path, cache: FileCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_file, "MAX_COPIED", 5)
    file = await fetch_copied(str(path), cache)
    async with OpenFiles([file, file]) as files:
        replace_by_name(path)
        assert await files.read(file) == GOOD
        assert (
            list((cache.directory / "images").iterdir() if (cache.directory / "images").exists() else [])
            == []
        )


async def test_what_is_written_into_an_open_file_shows(
    path: Path, cache: FileCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_file, "MAX_COPIED", 5)
    file = await fetch_copied(str(path), cache)
    async with OpenFiles([file]) as files:
        write_into(path)
        with pytest.raises(ChangedFileError, match=r"post\.tgz was changed after it was checked"):
            await files.read(file)


async def test_who_has_written_into_an_image_is_found_out(path: Path, cache: FileCache) -> None:
    file = await fetch(str(path), cache)
    async with OpenFiles([file]) as files:
        assert not await files.has_changed(file)
        path.chmod(0o600)
        assert not await files.has_changed(file), "its content is what it was"
        write_into(path)
        assert await files.has_changed(file)


@pytest.mark.parametrize("change", [replace_by_name, write_into, Path.unlink])
async def test_an_image_that_changed_between_plan_and_work_is_refused(
    path: Path, cache: FileCache, change: object
) -> None:
    file = await fetch(str(path), cache)
    assert callable(change)
    change(path)
    with pytest.raises(RefusedError, match=r"post\.tgz (was changed|is gone)"):
        async with OpenFiles([file]):
            pass


async def test_no_digest_is_believed_for_size_and_time(
    path: Path, cache: FileCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_file, "_YOUNG", -1)  # each digest is cached
    await fetch(str(path), cache)
    write_into(path)
    assert (await fetch(str(path), cache)).sha256 == hashlib.sha256(EVIL).hexdigest()


async def test_a_file_that_may_change_within_the_same_tick_is_not_believed(
    path: Path, cache: FileCache
) -> None:
    os.utime(path, (1, 1))  # its content is old, it says
    await fetch(str(path), cache)
    assert not (cache.directory / "digests").exists()


async def test_who_goes_on_has_the_image_digested_again(
    path: Path, cache: FileCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_file, "_YOUNG", -1)
    await fetch(str(path), cache)
    seen: list[int] = []
    await fetch(str(path), cache, digest_again=True, progress=lambda done, _: seen.append(done))
    assert seen == [len(GOOD)]


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
async def test_what_is_no_file_is_refused_and_not_waited_for(
    tmp_path: Path, cache: FileCache, kind: str
) -> None:
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    for function in (fetch, fetch_copied):
        with pytest.raises(NotFoundError, match=f"{kind} is not a file"):
            await function(str(path), cache)
    with pytest.raises(NotFoundError, match=f"{kind} is not a file"):
        local_file.open_file(path)


async def test_a_copy_that_an_operation_has_open_is_not_evicted(
    path: Path, cache: FileCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caches, "IN_USE", -1.0)
    small = FileCache(cache.directory, 1)
    file = await fetch_copied(str(path), cache)
    async with OpenFiles([file]):
        small.evict()
        assert file.path.exists()
    small.evict()
    assert not file.path.exists()


async def test_a_copy_that_is_damaged_is_made_again(path: Path, cache: FileCache) -> None:
    file = await fetch_copied(str(path), cache)
    file.path.write_bytes(EVIL)
    async with OpenFiles([file]) as files:
        with pytest.raises(ChangedFileError):
            await files.read(file)
    again = await fetch_copied(str(path), cache)
    assert again.path.read_bytes() == GOOD


async def test_a_cache_of_others_is_done_without(
    path: Path, cache: FileCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def temporary(_: FileCache) -> Path:
        raise caches._unusable(cache.directory, PermissionError(13, "Permission denied"))

    monkeypatch.setattr(FileCache, "temporary", temporary)
    file = await fetch_copied(str(path), cache)
    assert file.path == path and file.identity is not None
    async with OpenFiles([file]) as files:
        replace_by_name(path)
        assert await files.read(file) == GOOD


@pytest.mark.root
async def test_a_full_disk_is_one_sentence(path: Path, cache: FileCache) -> None:
    cache.directory.mkdir()
    full = cache.directory / "images"
    full.symlink_to("/dev/full")
    with pytest.raises(ServiceError, match=r"the cache .*images cannot be used") as caught:
        await fetch_copied(str(path), cache)
    assert "\n" not in caught.value.message


PROGRAM = """\
import asyncio, sys
from pathlib import Path
from kadeploy.environments.cache import FileCache
from kadeploy.environments.local_file import fetch_copied
print(asyncio.run(fetch_copied(sys.argv[1], FileCache(Path(sys.argv[2]), 1000))).path)
"""


@pytest.mark.root
async def test_a_user_who_may_not_even_read_the_cache(path: Path, cache: FileCache) -> None:
    file = await fetch_copied(str(path), cache)
    for parent in path.parents:
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o005)
    path.chmod(0o644)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, path, cache.directory],
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), file.path.exists()) == (str(path), True), done.stderr
