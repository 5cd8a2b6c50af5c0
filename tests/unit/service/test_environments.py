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
from kadeploy.environments import recompression, registry
from kadeploy.environments.compression import Compression
from kadeploy.environments.description import Description
from kadeploy.environments.environment import Visibility
from kadeploy.environments.model import DescriptionModel
from kadeploy.environments.recompression import RecompressedImage
from kadeploy.errors import NotFoundError, RefusedError
from kadeploy.service.environments import EnvironmentService
from kadeploy.service.named_environments import NamedEnvironments
from kadeploy.service.views.environments import EnvironmentsView, EnvironmentView
from kadeploy.store.store import Store
from tests.archives import write_archive
from tests.stores import write_store

MINE = NamedEnvironments("mine")
ALL = NamedEnvironments("mine", all_versions=True)
FIRST = NamedEnvironments("mine", version=1)
OF_ALICE = NamedEnvironments("mine", "alice")


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


def write_part(path: Path, content: str) -> None:
    """Write the image or an archive of a description."""
    if path.name == "image.gz":
        path.write_bytes(gzip.compress(content.encode()))
    else:
        write_archive(path, {"file": content.encode()})


def described(folder: Path, **fields: Any) -> Description:
    """A description whose files are there, with changes."""
    for name in ("image.gz", "pre.gz", "post.gz"):
        if not (folder / name).exists():
            write_part(folder / name, name)
    about: dict[str, Any] = {
        "name": "mine",
        "os": "other",
        "image": {"file": str(folder / "image.gz"), "kind": "dd", "compression": "gzip"},
        "preinstall": {"archive": str(folder / "pre.gz"), "compression": "gzip"},
        "postinstalls": [{"archive": str(folder / "post.gz"), "compression": "gzip"}],
        **fields,
    }
    return Description(DescriptionModel.model_validate(about))


async def record(
    service: EnvironmentService, description: Description, owner: str | None = None
) -> EnvironmentView:
    return (await service.record(description, owner)).environment


async def found(service: EnvironmentService, named: NamedEnvironments = MINE) -> list[EnvironmentView]:
    return list((await service.find(named)).environments)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_what_is_recorded_has_the_digests_of_its_files(
    service: EnvironmentService, tmp_path: Path
) -> None:
    recorded = await record(service, described(tmp_path))
    assert recorded.image.sha256 == digest(tmp_path / "image.gz")
    assert recorded.preinstall is not None and recorded.preinstall.sha256 == digest(tmp_path / "pre.gz")
    assert (recorded.postinstalls or ())[0].sha256 == digest(tmp_path / "post.gz")
    assert await found(service) == [recorded]


@pytest.mark.parametrize(
    ("user", "owner", "recorded"),
    [(None, None, "alice"), ("alice", "bob", "alice"), (None, "alice", "alice")],
)
async def test_whose_it_is(
    service: EnvironmentService, tmp_path: Path, user: str | None, owner: str | None, recorded: str
) -> None:
    assert (await record(service, described(tmp_path, user=user), owner)).user == recorded


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
        await found(service)


async def test_an_image_without_a_kernel_is_recorded_with_advice(
    service: EnvironmentService, tmp_path: Path
) -> None:
    """Who makes it on the nodes is known when these are."""
    image = write_archive(tmp_path / "image.tgz", {"etc/passwd": b"root", "boot/vmlinuz-6": b"kernel"})
    about = {
        "os": "linux",
        "image": {"file": str(image), "kind": "tar", "compression": "gzip"},
        "boot": {"kernel": "/vmlinuz"},
        "filesystem": "ext4",
        "postinstalls": [],
    }
    recorded = await service.record(described(tmp_path, **about))
    assert "image.tgz has no kernel /vmlinuz" in recorded.advice
    assert "/boot/vmlinuz-6" in recorded.advice
    assert await found(service) == [recorded.environment]


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
    before = await record(service, described(tmp_path))
    with pytest.raises(RefusedError, match=f"nothing has changed: {part} of mine:1 is what is recorded"):
        await service.update_digests(MINE, part)
    write_part(tmp_path / file, "new")
    await service.update_digests(MINE, part)
    [after] = await found(service)
    assert after != before
    parts = {
        "image": after.image,
        "preinstall": after.preinstall,
        "postinstalls": (after.postinstalls or ())[0],
    }
    changed = parts[part]
    assert changed is not None and changed.sha256 == digest(tmp_path / file)
    assert after.model_copy(update={part: getattr(before, part)}) == before, "and nothing else"


async def test_a_pre_install_that_there_is_not(service: EnvironmentService, tmp_path: Path) -> None:
    await service.record(described(tmp_path, preinstall=None))
    with pytest.raises(RefusedError, match="mine:1 has no pre-install"):
        await service.update_digests(MINE, "preinstall")


async def test_versions_and_their_marks(service: EnvironmentService, tmp_path: Path) -> None:
    one, two = [await record(service, described(tmp_path, version=number)) for number in (1, 2)]
    assert await found(service) == [two]
    assert await found(service, ALL) == [one, two]
    assert await found(service, FIRST) == [one]
    assert await service.list_visible(NamedEnvironments("mi%")) == EnvironmentsView(environments=(two,))
    assert await service.list_visible(NamedEnvironments("mi%", version=1)) == EnvironmentsView(
        environments=(one,)
    )
    await service.change_visibility(FIRST, "shared")
    await service.toggle_destructive(ALL)
    [first, second] = await found(service, ALL)
    assert (first.visibility, second.visibility) == (Visibility.SHARED, Visibility.PRIVATE)
    assert first.destructive and second.destructive
    await service.delete(FIRST)
    assert await found(service, ALL) == [second]


async def test_an_image_in_another_compression(service: EnvironmentService, tmp_path: Path) -> None:
    before = await record(service, described(tmp_path))
    made = await service.recompress(MINE)
    [after] = await found(service)
    assert (after.image.compression, after.image.file) == (Compression.ZSTD, str(tmp_path / "image.zst"))
    assert after.image.sha256 == made.sha256 == digest(tmp_path / "image.zst")
    assert after.model_copy(update={"image": before.image}) == before
    with pytest.raises(RefusedError, match="is zstd already"):
        await service.recompress(MINE)


async def test_an_image_that_is_gone_cannot_be_recompressed(
    service: EnvironmentService, tmp_path: Path
) -> None:
    await service.record(described(tmp_path))
    (tmp_path / "image.gz").unlink()
    with pytest.raises(NotFoundError, match=r"image\.gz cannot be read: No such file"):
        await service.recompress(MINE)


async def test_an_image_of_another_machine_cannot_be_recompressed(
    service: EnvironmentService, tmp_path: Path
) -> None:
    local = described(tmp_path).environment("alice")
    remote = replace(local, image=replace(local.image, file="http://192.0.2.1/image.gz"))
    await registry.add(service.store, remote)
    with pytest.raises(RefusedError, match=r"image\.gz is on another machine"):
        await service.recompress(MINE)


async def test_one_version_is_recompressed_at_a_time(service: EnvironmentService, tmp_path: Path) -> None:
    for number in (1, 2):
        await service.record(described(tmp_path, version=number))
    with pytest.raises(RefusedError, match="2 environments mine are there"):
        await service.recompress(ALL)
    assert (await service.recompress(MINE)).environment == "mine:2"


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
    recorded = await record(service, described(tmp_path))
    working = asyncio.create_task(service.recompress(MINE))
    await begun.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert not (tmp_path / "image.zst").exists()
    assert await found(service) == [recorded]


async def test_an_environment_that_is_deleted_meanwhile(
    service: EnvironmentService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(*arguments: Any) -> RecompressedImage:
        await service.delete(MINE)
        return await recompression.recompress_in_thread(*arguments)

    monkeypatch.setattr("kadeploy.service.environments.recompress_in_thread", slow)
    await service.record(described(tmp_path))
    with pytest.raises(NotFoundError, match="was deleted"):
        await service.recompress(MINE)
    assert not (tmp_path / "image.zst").exists()


def of(service: EnvironmentService, name: str) -> EnvironmentService:
    """The same for another caller."""
    return replace(service, caller=Caller(name))


CHANGES: dict[str, Callable[[EnvironmentService], Awaitable[object]]] = {
    "delete": lambda service: service.delete(OF_ALICE),
    "mark": lambda service: service.toggle_destructive(OF_ALICE),
    "hide": lambda service: service.change_visibility(OF_ALICE, "private"),
    "update": lambda service: service.update_digests(OF_ALICE, "image"),
    "recompress": lambda service: service.recompress(OF_ALICE),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_others_change_nothing_and_have_no_file_read(
    service: EnvironmentService, tmp_path: Path, change: str
) -> None:
    recorded = await record(service, described(tmp_path, visibility="shared"))
    stranger = of(service, "carol")
    assert await found(stranger, OF_ALICE) == [recorded]
    (tmp_path / "image.gz").unlink()
    with pytest.raises(RefusedError, match="carol may not change environments of alice"):
        await CHANGES[change](stranger)
    assert await found(service) == [recorded]


async def test_the_almighty_change_what_is_anothers(service: EnvironmentService, tmp_path: Path) -> None:
    almighty = of(service, "root")
    await almighty.record(described(tmp_path), "alice")
    await almighty.toggle_destructive(OF_ALICE)
    [marked] = await found(service)
    assert marked.destructive
    await almighty.delete(OF_ALICE)
    with pytest.raises(NotFoundError):
        await found(service)


@pytest.mark.parametrize("who", ["alice", "root"])
async def test_only_environments_of_the_almighty_are_public(
    service: EnvironmentService, tmp_path: Path, who: str
) -> None:
    caller, refusal = of(service, who), "environments of alice may not be public"
    with pytest.raises(RefusedError, match=refusal) as caught:
        await caller.record(described(tmp_path, visibility="public"), "alice")
    assert caught.value.hint == "use shared: others name the owner with `owner`"
    await caller.record(described(tmp_path), "alice")
    with pytest.raises(RefusedError, match=refusal):
        await caller.change_visibility(OF_ALICE, "public")
    public = await record(of(service, "root"), described(tmp_path, visibility="public"))
    assert await found(of(service, "carol")) == [public]


async def test_files_of_what_exists_are_not_read(service: EnvironmentService, tmp_path: Path) -> None:
    description = described(tmp_path)
    await service.record(description)
    (tmp_path / "image.gz").unlink()
    with pytest.raises(RefusedError, match="mine:1 of alice exists already"):
        await service.record(description)
