# SPDX-License-Identifier: Apache-2.0
"""Examination of the files that environments name: they are there, and what their descriptions say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kadeploy.config.server import MEGABYTE, Environments
from kadeploy.environments import local_file
from kadeploy.environments.cache import FileCache
from kadeploy.environments.environment import Archive, Environment, Image
from kadeploy.errors import RefusedError


@dataclass(frozen=True, slots=True)
class Examination:
    """Examination by the limits of a site; files of other machines are kept in its cache.

    Raises NotFoundError where a file is missing, RefusedError where it is not what the description says.
    """

    cache: FileCache
    limits: Environments

    async def examine(self, environment: Environment) -> Environment:
        """Environment with the true digests of its files, each compared with the declared one."""
        return replace(
            environment,
            image=await self._examine_image(environment.image),
            preinstall=await self._examine_preinstall(environment.preinstall),
            postinstalls=await self._examine_postinstalls(environment.postinstalls),
        )

    async def refresh(self, environment: Environment, part: str) -> Environment:
        """Environment with the present digests of ``image``, ``preinstall`` or ``postinstalls``."""
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
        limit = self.limits.max_preinstall_size
        return await self._examine_archive(archive, limit) if archive else None

    async def _examine_postinstalls(self, archives: Sequence[Archive]) -> tuple[Archive, ...]:
        limit = self.limits.max_postinstall_size
        return tuple([await self._examine_archive(archive, limit) for archive in archives])

    async def _examine_archive(self, archive: Archive, limit: int) -> Archive:
        file = await local_file.fetch(archive.archive, self.cache, expected_sha256=archive.sha256)
        _check_digest(archive.archive, archive.sha256, file.sha256)
        local_file.check_compression(file.path, archive.compression)
        if file.size > limit * MEGABYTE:
            raise RefusedError(f"{archive.archive} is larger than the {limit} MB this site allows")
        return replace(archive, sha256=file.sha256)


def _check_digest(file: str, declared: str, found: str) -> None:
    if declared and declared != found:
        raise RefusedError(
            f"{file} has SHA-256 {found}, the description declares {declared}",
            hint="the file was changed or damaged; correct sha256 only if you know it is right",
        )
