# SPDX-License-Identifier: Apache-2.0
"""What a user does with recorded environments, with real files and a real store."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kadeploy.caller import Caller
from kadeploy.config.server import MEGABYTE, ServerConfig
from kadeploy.config.site import Site
from kadeploy.environments import recompression
from kadeploy.environments.compression import Compression
from kadeploy.environments.description import Description
from kadeploy.environments.environment import Environment, Visibility
from kadeploy.environments.model import DescriptionModel
from kadeploy.environments.recompression import RecompressedImage
from kadeploy.errors import NotFoundError, RefusedError
from kadeploy.service.environments import EnvironmentService
from kadeploy.store.store import Store
from tests.stores import write_store


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("store") / "store.sqlite")


@pytest.fixture
async def service(empty_store: Path, tmp_path: Path) -> AsyncIterator[EnvironmentService]:
    """The environments of alice at a site that allows 2 MB of post-installs and 1 MB of a pre-install."""
    server = ServerConfig.model_validate(
        {
            "network": {"server_address": "127.0.0.1"},
            "pxe": {"dhcp": {"repository": "boot"}},
            "cache": {"directory": "cache"},
            "environments": {"max_preinstall_size": 1, "max_postinstall_size": 2},
        }
    )
    shutil.copy(empty_store, tmp_path / "store.sqlite")
    async with Store.open(tmp_path / "store.sqlite") as store:
        yield EnvironmentService(store, Caller("alice"), Site(tmp_path, server, {}, {}, {}))


def described(folder: Path, **fields: Any) -> Description:
    """A description whose files are there, with changes."""
    for name in ("image.gz", "pre.gz", "post.gz"):
        if not (folder / name).exists():
            (folder / name).write_bytes(gzip.compress(name.encode()))
    about: dict[str, Any] = {
        "name": "mine",
        "os": "other",
        "image": {"file": str(folder / "image.gz"), "kind": "dd", "compression": "gzip"},
        "preinstall": {"archive": str(folder / "pre.gz"), "compression": "gzip"},
        "postinstalls": [{"archive": str(folder / "post.gz"), "compression": "gzip"}],
        **fields,
    }
    return Description(DescriptionModel.model_validate(about))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_what_is_recorded_has_the_digests_of_its_files(
    service: EnvironmentService, tmp_path: Path
) -> None:
    recorded = await service.record(described(tmp_path))
    assert recorded.image.sha256 == digest(tmp_path / "image.gz")
    assert recorded.preinstall is not None and recorded.preinstall.sha256 == digest(tmp_path / "pre.gz")
    assert recorded.postinstalls[0].sha256 == digest(tmp_path / "post.gz")
    assert await service.find("mine", None, None, False) == [recorded]


@pytest.mark.parametrize(
    ("user", "owner", "recorded"),
    [(None, None, "alice"), ("alice", "bob", "alice"), (None, "alice", "alice")],
)
async def test_whose_it_is(
    service: EnvironmentService, tmp_path: Path, user: str | None, owner: str | None, recorded: str
) -> None:
    assert (await service.record(described(tmp_path, user=user), owner)).owner == recorded


async def test_nobody_reads_the_files_of_what_may_not_be_recorded(
    service: EnvironmentService, tmp_path: Path
) -> None:
    missing = {"file": str(tmp_path / "none"), "kind": "dd", "compression": "gzip"}
    with pytest.raises(RefusedError, match="alice may not change environments of bob"):
        await service.record(described(tmp_path, image=missing), "bob")
    with pytest.raises(NotFoundError, match="none cannot be read"):
        await service.record(described(tmp_path, image=missing))


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("image", {"sha256": "a" * 64}, "image.gz has SHA-256 .*, the description declares aaaa"),
        ("image", {"compression": "xz"}, "image.gz is declared as xz, but is gzip"),
        ("preinstall", {"sha256": "a" * 64}, "pre.gz has SHA-256"),
        ("preinstall", {"compression": "zstd"}, "pre.gz is declared as zstd, but is gzip"),
        ("postinstalls", {"sha256": "a" * 64}, "post.gz has SHA-256"),
        ("postinstalls", {"compression": "bzip2"}, "post.gz is declared as bzip2"),
    ],
)
async def test_files_that_are_not_what_is_declared(
    service: EnvironmentService, tmp_path: Path, part: str, change: dict[str, str], message: str
) -> None:
    fields = described(tmp_path).model.model_dump(mode="json")
    value = fields[part]
    changed = [{**value[0], **change}] if isinstance(value, list) else {**value, **change}
    with pytest.raises(RefusedError, match=message):
        await service.record(described(tmp_path, **{part: changed}))
    with pytest.raises(NotFoundError):
        await service.find("mine", None, None, False)


@pytest.mark.parametrize(("file", "limit"), [("pre.gz", 1), ("post.gz", 2)])
async def test_archives_larger_than_the_site_allows(
    service: EnvironmentService, tmp_path: Path, file: str, limit: int
) -> None:
    description = described(tmp_path)
    with (tmp_path / file).open("r+b") as archive:
        archive.truncate(limit * MEGABYTE + 1)
    with pytest.raises(RefusedError, match=f"{file} is larger than the {limit} MB this site allows"):
        await service.record(description)
    with (tmp_path / file).open("r+b") as archive:
        archive.truncate(limit * MEGABYTE)
    await service.record(description)


@pytest.mark.parametrize(
    ("part", "file"), [("image", "image.gz"), ("preinstall", "pre.gz"), ("postinstalls", "post.gz")]
)
async def test_digests_are_recorded_again_where_a_file_has_changed(
    service: EnvironmentService, tmp_path: Path, part: str, file: str
) -> None:
    before = await service.record(described(tmp_path))
    with pytest.raises(RefusedError, match=f"nothing has changed: {part} of mine:1 is what is recorded"):
        await service.update_digests([before], part)
    (tmp_path / file).write_bytes(gzip.compress(b"new"))
    await service.update_digests([before], part)
    [after] = await service.find("mine", None, None, False)
    assert after != before
    fields = {"image": after.image, "preinstall": after.preinstall, "postinstalls": after.postinstalls[0]}
    found = fields[part]
    assert found is not None and found.sha256 == digest(tmp_path / file)
    assert replace(after, **{part: getattr(before, part)}) == before, "and nothing else"


async def test_a_pre_install_that_there_is_not(service: EnvironmentService, tmp_path: Path) -> None:
    recorded = await service.record(described(tmp_path, preinstall=None))
    with pytest.raises(RefusedError, match="mine:1 has no pre-install"):
        await service.update_digests([recorded], "preinstall")


async def test_versions_and_their_marks(service: EnvironmentService, tmp_path: Path) -> None:
    one, two = [await service.record(described(tmp_path, version=number)) for number in (1, 2)]
    assert await service.find("mine", None, None, False) == [two]
    assert await service.find("mine", None, None, True) == [one, two]
    assert await service.find("mine", None, 1, False) == [one]
    assert await service.list_visible("mi%", None, None, False) == [two]
    assert await service.list_visible("mi%", None, 1, False) == [one]
    await service.change_visibility([one], "shared")
    await service.toggle_destructive(await service.find("mine", None, None, True))
    [first, second] = await service.find("mine", None, None, True)
    assert (first.visibility, second.visibility) == (Visibility.SHARED, Visibility.PRIVATE)
    assert first.destructive and second.destructive
    await service.delete([first])
    assert await service.find("mine", None, None, True) == [second]


async def test_an_image_in_another_compression(service: EnvironmentService, tmp_path: Path) -> None:
    before = await service.record(described(tmp_path))
    made = await service.recompress(before)
    [after] = await service.find("mine", None, None, False)
    assert (after.image.compression, after.image.file) == (Compression.ZSTD, str(tmp_path / "image.zst"))
    assert after.image.sha256 == made.sha256 == digest(made.path)
    assert replace(after, image=before.image) == before
    with pytest.raises(RefusedError, match="is zstd already"):
        await service.recompress(after)


async def test_an_image_that_is_gone_cannot_be_recompressed(
    service: EnvironmentService, tmp_path: Path
) -> None:
    recorded = await service.record(described(tmp_path))
    (tmp_path / "image.gz").unlink()
    with pytest.raises(NotFoundError, match=r"image\.gz cannot be read: No such file"):
        await service.recompress(recorded)


async def test_an_image_of_another_machine_cannot_be_recompressed(
    service: EnvironmentService, tmp_path: Path
) -> None:
    recorded = described(tmp_path).environment("alice")
    remote = replace(recorded, image=replace(recorded.image, file="http://192.0.2.1/image.gz"))
    with pytest.raises(RefusedError, match=r"image\.gz is on another machine"):
        await service.recompress(remote)


async def test_who_stops_waiting_leaves_no_file(
    service: EnvironmentService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the file was complete at that moment."""
    begun, real = asyncio.Event(), recompression.recompress
    loop = asyncio.get_running_loop()

    def slow(*arguments: Any) -> RecompressedImage:
        loop.call_soon_threadsafe(begun.set)
        stopped = arguments[3]
        assert stopped.wait(30)
        stopped.clear()
        return real(*arguments)

    monkeypatch.setattr(recompression, "recompress", slow)
    recorded = await service.record(described(tmp_path))
    working = asyncio.create_task(service.recompress(recorded))
    await begun.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert not (tmp_path / "image.zst").exists()
    assert await service.find("mine", None, None, False) == [recorded]


async def test_an_environment_that_is_deleted_meanwhile(service: EnvironmentService, tmp_path: Path) -> None:
    recorded = await service.record(described(tmp_path))
    await service.delete([recorded])
    with pytest.raises(NotFoundError, match="was deleted"):
        await service.recompress(recorded)
    assert not (tmp_path / "image.zst").exists()


def of(service: EnvironmentService, name: str) -> EnvironmentService:
    """The same for another caller."""
    return replace(service, caller=Caller(name))


CHANGES: dict[str, Callable[[EnvironmentService, Environment], Awaitable[object]]] = {
    "delete": lambda service, one: service.delete([one]),
    "mark": lambda service, one: service.toggle_destructive([one]),
    "hide": lambda service, one: service.change_visibility([one], "private"),
    "update": lambda service, one: service.update_digests([one], "image"),
    "recompress": lambda service, one: service.recompress(one),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_others_change_nothing_and_have_no_file_read(
    service: EnvironmentService, tmp_path: Path, change: str
) -> None:
    recorded = await service.record(described(tmp_path, visibility="shared"))
    stranger = of(service, "carol")
    assert await stranger.find("mine", "alice", None, False) == [recorded]
    (tmp_path / "image.gz").unlink()
    with pytest.raises(RefusedError, match="carol may not change environments of alice"):
        await CHANGES[change](stranger, recorded)
    assert await service.find("mine", None, None, False) == [recorded]


async def test_the_almighty_change_what_is_anothers(service: EnvironmentService, tmp_path: Path) -> None:
    almighty = of(service, "root")
    await almighty.record(described(tmp_path), "alice")
    await almighty.toggle_destructive(await almighty.find("mine", "alice", None, False))
    [marked] = await service.find("mine", None, None, False)
    assert marked.destructive
    await almighty.delete([marked])
    with pytest.raises(NotFoundError):
        await service.find("mine", None, None, False)


@pytest.mark.parametrize("who", ["alice", "root"])
async def test_only_environments_of_the_almighty_are_public(
    service: EnvironmentService, tmp_path: Path, who: str
) -> None:
    caller, refusal = of(service, who), "environments of alice may not be public"
    with pytest.raises(RefusedError, match=refusal) as caught:
        await caller.record(described(tmp_path, visibility="public"), "alice")
    assert caught.value.hint == "use shared: others name the owner with `owner`"
    recorded = await caller.record(described(tmp_path), "alice")
    with pytest.raises(RefusedError, match=refusal):
        await caller.change_visibility([recorded], "public")
    public = await of(service, "root").record(described(tmp_path, visibility="public"))
    assert await of(service, "carol").find("mine", None, None, False) == [public]


async def test_files_of_what_exists_are_not_read(service: EnvironmentService, tmp_path: Path) -> None:
    description = described(tmp_path)
    await service.record(description)
    (tmp_path / "image.gz").unlink()
    with pytest.raises(RefusedError, match="mine:1 of alice exists already"):
        await service.record(description)
