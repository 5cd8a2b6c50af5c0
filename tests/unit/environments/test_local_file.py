# SPDX-License-Identifier: Apache-2.0
"""Fetching images from disk and over HTTP, the cache, digests and compressions."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from kadeploy.environments import download, local_file, source
from kadeploy.environments.cache import FileCache
from kadeploy.errors import NotFoundError, RefusedError, ServiceError

CONTENT = os.urandom(3 * 1024 * 1024)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """A file server on loopback whose connections can be made to break."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.requests: list[tuple[str, str]] = []  # Range and If-None-Match of each
        self.breaks = 0
        self.status = 200
        self.url = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.headers.get("Range", ""), request.headers.get("If-None-Match", "")))
        if self.status != 200:
            return web.Response(status=self.status)
        if not self.breaks:
            return web.FileResponse(self.file)
        self.breaks -= 1
        status = self.file.stat()
        etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'  # aiohttp's own form
        response = web.StreamResponse(headers={"Content-Length": str(status.st_size), "ETag": etag})
        await response.prepare(request)
        await response.write(self.file.read_bytes()[: 2 * 1024 * 1024])
        assert request.transport is not None
        request.transport.close()
        return response


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    file = tmp_path / "served"
    file.write_bytes(CONTENT)
    server = Server(file)
    application = web.Application()
    application.router.add_get("/image", server.serve)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/image"
    yield server
    await runner.cleanup()


@pytest.fixture
def cache(tmp_path: Path) -> FileCache:
    return FileCache(tmp_path / "cache", 10 * 1024 * 1024)


def partial_files(cache: FileCache) -> list[Path]:
    return list((cache.directory / "images").glob(".*"))


@pytest.mark.parametrize("prefix", ["", "local://", "server://"])
async def test_local_files_are_used_where_they_are(tmp_path: Path, cache: FileCache, prefix: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(CONTENT)
    seen: list[tuple[int, int | None]] = []

    file = await local_file.fetch(f"{prefix}{path}", cache, progress=lambda *state: seen.append(state))

    assert file == local_file.LocalFile(path, len(CONTENT), SHA256)
    assert seen[-1] == (len(CONTENT), len(CONTENT))


async def test_the_digest_of_a_local_file_is_cached_until_it_changes(
    tmp_path: Path, cache: FileCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "image"
    path.write_bytes(CONTENT)
    monkeypatch.setattr(local_file, "_YOUNG", 0)
    seen: list[int] = []
    await asyncio.sleep(0.01)  # the clock of the file system
    await local_file.fetch(str(path), cache)

    again = await local_file.fetch(str(path), cache, progress=lambda done, _: seen.append(done))
    path.write_bytes(CONTENT[::-1])
    changed = await local_file.fetch(str(path), cache)

    assert again.sha256 == SHA256
    assert seen == [], "not read again"
    assert changed.sha256 == hashlib.sha256(CONTENT[::-1]).hexdigest()


async def test_a_young_file_is_not_trusted(tmp_path: Path, cache: FileCache) -> None:
    path = tmp_path / "image"
    path.write_bytes(CONTENT)
    status = path.stat()
    await local_file.fetch(str(path), cache)
    path.write_bytes(CONTENT[::-1])
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))  # changed within the clock's resolution

    assert (await local_file.fetch(str(path), cache)).sha256 == hashlib.sha256(CONTENT[::-1]).hexdigest()


async def test_the_true_digest_is_told_whatever_was_expected(tmp_path: Path, cache: FileCache) -> None:
    path = tmp_path / "image"
    path.write_bytes(CONTENT)

    assert (await local_file.fetch(str(path), cache, expected_sha256="0" * 64)).sha256 == SHA256


@pytest.mark.parametrize("name", ["none", "folder"])
async def test_what_is_no_file_is_not_found(tmp_path: Path, cache: FileCache, name: str) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(NotFoundError, match=name):
        await local_file.fetch(str(tmp_path / name), cache)


async def test_a_remote_file_is_copied_once(server: Server, cache: FileCache) -> None:
    first = await local_file.fetch(server.url, cache)
    second = await local_file.fetch(server.url, cache)
    third = await local_file.fetch(server.url, cache, expected_sha256=SHA256)

    assert first.path.read_bytes() == CONTENT
    assert (
        first
        == second
        == third
        == local_file.LocalFile(cache.directory / "images" / SHA256, len(CONTENT), SHA256)
    )
    assert len(server.requests) == 2, "the third knew the digest"
    assert server.requests[1][1], "the second was conditional"
    assert partial_files(cache) == []


async def test_a_digest_alone_gives_nobody_what_others_have_fetched(server: Server, cache: FileCache) -> None:
    await local_file.fetch(server.url, cache)
    with pytest.raises(ServiceError):
        await local_file.fetch("http://127.0.0.1:9/image", cache, expected_sha256=SHA256)


async def test_a_remote_file_that_changed_is_fetched_again(server: Server, cache: FileCache) -> None:
    await local_file.fetch(server.url, cache)
    server.file.write_bytes(b"new")

    assert (await local_file.fetch(server.url, cache)).sha256 == hashlib.sha256(b"new").hexdigest()


async def test_a_broken_transfer_is_resumed(
    server: Server, cache: FileCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.breaks = 1

    file = await local_file.fetch(server.url, cache)

    assert file.path.read_bytes() == CONTENT
    assert server.requests[1][0].startswith("bytes=")
    assert server.requests[1][0] != "bytes=0-"


@pytest.mark.parametrize(("status", "error"), [(404, NotFoundError), (403, NotFoundError)])
async def test_a_remote_file_that_is_not_there(
    server: Server, cache: FileCache, status: int, error: type[Exception]
) -> None:
    server.status = status

    with pytest.raises(error, match=f"HTTP status {status}"):
        await local_file.fetch(server.url, cache)
    assert len(server.requests) == 1, "asking again would not help"
    assert partial_files(cache) == []


async def test_a_faulty_server_is_asked_again_and_then_given_up(
    server: Server, cache: FileCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "ATTEMPTS", 2)
    server.status = 503

    with pytest.raises(ServiceError, match="after 2 attempts: HTTP status 503"):
        await local_file.fetch(server.url, cache)
    assert len(server.requests) == 2
    assert partial_files(cache) == []


async def test_a_full_disk_ends_a_download_with_a_sentence(server: Server) -> None:
    with pytest.raises(ServiceError, match="cannot be kept in /dev: No space left on device"):
        await download.download(
            server.url, Path("/dev/full"), 1 << 30, download.Validators(), lambda *_: None
        )
    assert len(server.requests) == 1, "asking again would not help"


async def test_what_is_larger_than_the_cache_is_refused(server: Server, tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", 1024 * 1024)

    with pytest.raises(RefusedError, match="larger than 1048576 bytes"):
        await local_file.fetch(server.url, cache)
    assert partial_files(cache) == []


async def test_a_description_over_http_names_files_relative_to_itself(server: Server) -> None:
    server.file.write_text("name: x\nos: linux\nimage: {file: x.tgz, kind: dd, compression: gzip}\n")

    environment = (await source.load(server.url)).environment("alice")

    assert environment.image.file == server.url.replace("/image", "/x.tgz")


def keep(cache: FileCache, size: int, age: float) -> str:
    sha256 = hashlib.sha256(f"{size}{age}".encode()).hexdigest()
    temporary = cache.temporary()
    temporary.write_bytes(b"x" * size)
    os.utime(temporary, (time.time() - age, time.time() - age))
    path = cache.keep(temporary, sha256)
    os.utime(path.parents[1] / "uses" / sha256, (time.time() - age, time.time() - age))
    return sha256


def test_the_copies_unused_for_longest_make_room(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 100)
    old, older, young = keep(cache, 40, 7200), keep(cache, 40, 9000), keep(cache, 50, 0)

    present = {path.name for path in (tmp_path / "images").iterdir()}

    assert present == {old, young}
    assert cache.image(older) is None


def test_copies_in_use_stay_beyond_the_limit(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 100)
    names = {keep(cache, 80, age) for age in (5, 10)}

    assert {path.name for path in (tmp_path / "images").iterdir()} == names


def test_abandoned_downloads_are_removed_and_running_ones_are_not(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 100)
    abandoned, running = cache.temporary(), cache.temporary()
    os.utime(abandoned, (1, 1))

    cache.evict()

    assert not abandoned.exists()
    assert running.exists()
