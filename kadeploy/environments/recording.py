# SPDX-License-Identifier: Apache-2.0
"""Service of recorded environments: rules of the registry, and checks of the files that descriptions name."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from kadeploy.config.server import MEGABYTE
from kadeploy.config.site import Site
from kadeploy.environments import local_file, registry
from kadeploy.environments.cache import FileCache
from kadeploy.environments.compression import Compression
from kadeploy.environments.description import Description
from kadeploy.environments.environment import Archive, Environment, Image, Visibility
from kadeploy.environments.location import is_http, local_path
from kadeploy.environments.progress import Progress, ignore_progress
from kadeploy.environments.recompression import RecompressedImage, recompress
from kadeploy.environments.registry import Caller
from kadeploy.errors import RefusedError
from kadeploy.store.store import Store


@dataclass(frozen=True, slots=True)
class EnvironmentService:
    """Service by which one caller records and changes environments of one site."""

    store: Store
    caller: Caller
    site: Site

    @property
    def cache(self) -> FileCache:
        return FileCache.of(self.site)

    async def record(self, description: Description, owner: str | None = None) -> Environment:
        """Record the environment of a description with the digests of its files, and return it.

        Raises NotFoundError and RefusedError: a file is missing, is not what the description says, or the
        registry refuses.
        """
        environment = description.environment(description.owner or owner or self.caller.name)
        await registry.check_new(self.store, environment, self.caller)
        examined = await self.examine(environment)
        await registry.add(self.store, examined, self.caller)
        return examined

    async def examine(self, environment: Environment) -> Environment:
        """Environment with the true digests of its files, each compared with the declared one."""
        return replace(
            environment,
            image=await self._examine_image(environment.image),
            preinstall=await self._examine_preinstall(environment.preinstall),
            postinstalls=await self._examine_postinstalls(environment.postinstalls),
        )

    async def find(
        self, name: str, owner: str | None, version: int | None, all_versions: bool
    ) -> list[Environment]:
        """Find the last version of an environment, the given one, or all of them."""
        found = await registry.find_versions(self.store, name, self.caller, owner=owner, version=version)
        return found if all_versions else found[-1:]

    async def list_visible(
        self, pattern: str, owner: str | None, version: int | None, all_versions: bool
    ) -> list[Environment]:
        """List the environments that the caller sees, of one version where it is given."""
        found = await registry.list_visible(
            self.store,
            self.caller,
            owner=owner,
            pattern=pattern,
            all_versions=all_versions or version is not None,
        )
        return [item for item in found if version is None or item.version == version]

    async def delete(self, found: Sequence[Environment]) -> None:
        """Delete these versions."""
        await registry.remove(self.store, found, self.caller)

    async def change_visibility(self, found: Sequence[Environment], visibility: str) -> None:
        """Set the visibility of these versions."""
        changed = [replace(item, visibility=Visibility(visibility)) for item in found]
        await registry.replace_recorded(self.store, changed, self.caller)

    async def toggle_destructive(self, found: Sequence[Environment]) -> None:
        """Invert the mark of each of these versions."""
        changed = [replace(item, destructive=not item.destructive) for item in found]
        await registry.replace_recorded(self.store, changed, self.caller)

    async def update_digests(self, found: Sequence[Environment], part: str) -> None:
        """Record the present digests of ``image``, ``preinstall`` or ``postinstalls``.

        Raises RefusedError where none has changed, as Kadeploy3 does.
        """
        changed = [await self._refresh(item, part) for item in found]
        if changed == list(found):
            raise RefusedError(f"nothing has changed: {part} of {found[0].label} is what is recorded")
        await registry.replace_recorded(self.store, changed, self.caller)

    async def recompress(
        self, environment: Environment, progress: Progress = ignore_progress
    ) -> RecompressedImage:
        """Recompress the image with zstd to a new file, and record that as the image. The old file stays.

        Raises RefusedError where it is zstd already, is on another machine, or is not what is recorded;
        NotFoundError where it is gone.
        """
        registry.check_owners([environment], self.caller)
        image = environment.image
        if image.compression is Compression.ZSTD:
            raise RefusedError(f"nothing has changed: the image of {environment.label} is zstd already")
        if is_http(image.file):
            hint = "compress it where it is made: zstd -10 --long"
            raise RefusedError(f"{image.file} is on another machine", hint=hint)
        made = await _in_thread(
            partial(recompress, local_path(image.file), image.compression, image.sha256), progress
        )
        file = image.file.removesuffix(local_path(image.file).name) + made.path.name
        changed = replace(image, file=file, compression=Compression.ZSTD, sha256=made.sha256)
        try:
            await registry.replace_recorded(self.store, [replace(environment, image=changed)], self.caller)
        except BaseException:
            made.path.unlink()
            raise
        return made

    async def _refresh(self, environment: Environment, part: str) -> Environment:
        """Environment with the present digests of one part, whatever was recorded."""
        if part == "image":
            image = replace(environment.image, sha256="")
            return replace(environment, image=await self._examine_image(image))
        if part == "postinstalls":
            archives = [replace(archive, sha256="") for archive in environment.postinstalls]
            return replace(environment, postinstalls=await self._examine_postinstalls(archives))
        if environment.preinstall is None:
            raise RefusedError(f"environment {environment.label} has no pre-install")
        archive = replace(environment.preinstall, sha256="")
        return replace(environment, preinstall=await self._examine_preinstall(archive))

    async def _examine_image(self, image: Image) -> Image:
        file = await local_file.fetch(image.file, self.cache, expected_sha256=image.sha256)
        _check_digest(image.file, image.sha256, file.sha256)
        local_file.check_compression(file.path, image.compression)
        return replace(image, sha256=file.sha256)

    async def _examine_preinstall(self, archive: Archive | None) -> Archive | None:
        limit = self.site.server.environments.max_preinstall_size
        return await self._examine_archive(archive, limit) if archive else None

    async def _examine_postinstalls(self, archives: Sequence[Archive]) -> tuple[Archive, ...]:
        limit = self.site.server.environments.max_postinstall_size
        return tuple([await self._examine_archive(archive, limit) for archive in archives])

    async def _examine_archive(self, archive: Archive, limit: int) -> Archive:
        file = await local_file.fetch(archive.archive, self.cache, expected_sha256=archive.sha256)
        _check_digest(archive.archive, archive.sha256, file.sha256)
        local_file.check_compression(file.path, archive.compression)
        if file.size > limit * MEGABYTE:
            raise RefusedError(f"{archive.archive} is larger than the {limit} MB this site allows")
        return replace(archive, sha256=file.sha256)


async def _in_thread(
    work: Callable[[threading.Event, Progress], RecompressedImage], progress: Progress
) -> RecompressedImage:
    """Run work in a thread; when cancelled, stop the work and wait for its end."""
    stopped = threading.Event()
    working = asyncio.create_task(asyncio.to_thread(work, stopped, progress))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        stopped.set()
        await asyncio.wait([working])
        if not working.exception():
            working.result().path.unlink()
        raise


def _check_digest(file: str, declared: str, found: str) -> None:
    if declared and declared != found:
        raise RefusedError(
            f"{file} has SHA-256 {found}, the description declares {declared}",
            hint="the file was changed or damaged; correct sha256 only if you know it is right",
        )
