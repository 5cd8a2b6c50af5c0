# SPDX-License-Identifier: Apache-2.0
"""Examination of the files that environments name: they are what the descriptions say, and can be used.

It is the one check of all who take an environment: what the first node would find out after its disk was
erased is refused here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

from kadeploy.config.server import MEGABYTE, Environments
from kadeploy.environments import local_file, post_install, script
from kadeploy.environments.cache import FileCache
from kadeploy.environments.compression import Compression, recognize
from kadeploy.environments.environment import Archive, Environment, Image
from kadeploy.environments.image_content import ImageContent, Layer
from kadeploy.environments.image_kind import IMAGE_KINDS
from kadeploy.environments.local_file import LocalFile
from kadeploy.environments.recognition import HEAD, describe
from kadeploy.environments.unpacking import DamagedFileError, unpacking
from kadeploy.errors import NotFoundError, RefusedError, ServiceError

# Told with a file that is read: what it is for, where it is, bytes done, and bytes of it, 0 if unknown.
Grabbed = Callable[[str, str, int, int], None]
Checked = TypeVar("Checked")

# Raised with each change of what a look into an image finds: former findings are not believed then.
FINDINGS = "contents-2"


def ignore_grabbed(*_: object) -> None:
    """Drop the progress of a file."""


@dataclass(frozen=True, slots=True)
class ExaminedEnvironment:
    """Environment with the true digests of its files, and these as they are on this machine."""

    environment: Environment
    image: LocalFile
    content: ImageContent
    postinstalls: tuple[LocalFile, ...]


@dataclass(frozen=True, slots=True)
class Examination:
    """Examination by the limits of a site; files of other machines are kept in its cache.

    ``digest_again``: digests of earlier readings do not count. Raises NotFoundError where a file is missing,
    RefusedError where it is not what the description says, or no node could use it.
    """

    cache: FileCache
    limits: Environments
    grabbed: Grabbed = ignore_grabbed
    digest_again: bool = False

    async def examine(self, environment: Environment, *, complete: bool = True) -> ExaminedEnvironment:
        """Compare each digest with the declared one, and look into the files.

        ``complete``: nobody but a post-install of the environment makes kernel, initrd or hypervisor on the
        nodes. Else that of the content which is missing is no reason to refuse.
        """
        image, content = await self._examine_image(environment)
        if complete and content.missing:
            raise RefusedError(f"{environment.image.file} {content.missing}", hint=content.hint)
        limit = self.limits.max_postinstall_size
        if environment.preinstall:
            pre_limit = self.limits.max_preinstall_size
            before = await self.examine_archive(environment.preinstall, "preinstall", pre_limit)
            environment = replace(
                environment, preinstall=replace(environment.preinstall, sha256=before.sha256)
            )
        files = [
            await self.examine_archive(archive, "postinstall", limit) for archive in environment.postinstalls
        ]
        pairs = zip(environment.postinstalls, files, strict=True)
        examined = replace(
            environment,
            image=replace(environment.image, sha256=image.sha256),
            postinstalls=tuple(replace(archive, sha256=file.sha256) for archive, file in pairs),
        )
        return ExaminedEnvironment(examined, image, content, tuple(files))

    async def refresh(self, environment: Environment, part: str) -> Environment:
        """Environment with the present digests of ``image``, ``preinstall`` or ``postinstalls``."""
        if part == "image":
            image = replace(environment.image, sha256="")
            file, _ = await self._examine_image(replace(environment, image=image))
            return replace(environment, image=replace(image, sha256=file.sha256))
        if part == "postinstalls":
            limit = self.limits.max_postinstall_size
            archives = [
                await self._refresh(archive, "postinstall", limit) for archive in environment.postinstalls
            ]
            return replace(environment, postinstalls=tuple(archives))
        if environment.preinstall is None:
            raise RefusedError(f"environment {environment.label} has no pre-install")
        limit = self.limits.max_preinstall_size
        return replace(
            environment, preinstall=await self._refresh(environment.preinstall, "preinstall", limit)
        )

    async def examine_archive(self, archive: Archive, what: str = "", limit: int | None = None) -> LocalFile:
        """Look into an archive of at most ``limit`` megabytes; it is told of where ``what`` it is for."""
        file, _ = await self.examine_script_in(archive, what, limit)
        return file

    async def examine_script_in(
        self, archive: Archive, what: str = "", limit: int | None = None
    ) -> tuple[LocalFile, bytes]:
        """Look into an archive as ``examine_archive``; returns it with the first bytes of its script."""

        def progress(done: int, total: int | None) -> None:
            if what:
                self.grabbed(what, archive.archive, done, total or 0)

        progress(0, 0)
        file = await local_file.fetch_copied(
            archive.archive, self.cache, expected_sha256=archive.sha256, progress=progress
        )
        if limit and file.size > limit * MEGABYTE:
            raise RefusedError(f"{archive.archive} is larger than the {limit} MB this site allows")
        hint = "the file was changed or damaged; if it is right, `update_postinstalls` records it, "
        _check_digest(archive.archive, archive.sha256, file.sha256, hint + "or correct sha256")
        words = archive.script_words
        await asyncio.to_thread(_check_compression, file, archive.archive, archive.compression)

        def check(stopped: threading.Event) -> bytes:
            return post_install.check(file.path, archive.archive, archive.compression, words, stopped)

        return file, await _in_thread(check)

    async def examine_script(self, location: str, what: str) -> LocalFile:
        """Look at the first line of a script; ``what`` is for messages."""
        try:
            file = await local_file.fetch_copied(location, self.cache)
        except NotFoundError as error:
            raise NotFoundError(f"the {what} {error.message}") from error

        def read() -> bytes:
            with local_file.open_file(file.path) as reader:
                return reader.read(script.HEAD)

        if problem := script.problem(await asyncio.to_thread(read)):
            raise RefusedError(f"the {what} {location} {problem}", hint=script.AS_UNIX)
        return file

    async def _refresh(self, archive: Archive, what: str, limit: int) -> Archive:
        file = await self.examine_archive(replace(archive, sha256=""), what, limit)
        return replace(archive, sha256=file.sha256)

    async def _examine_image(self, environment: Environment) -> tuple[LocalFile, ImageContent]:
        image = environment.image

        def progress(done: int, total: int | None) -> None:
            self.grabbed("image", image.file, done, total or 0)

        progress(0, 0)
        file = await local_file.fetch(
            image.file,
            self.cache,
            expected_sha256=image.sha256,
            digest_again=self.digest_again,
            progress=progress,
        )
        hint = (
            f"the file was changed or damaged; if it is right, `update_image` {environment.name} records it, "
        )
        _check_digest(image.file, image.sha256, file.sha256, hint + "or correct sha256")
        await asyncio.to_thread(_check_compression, file, image.file, image.compression)
        content = await self._look_into(file, image, wanted_files(environment))
        if content.problem:
            raise RefusedError(f"{image.file} {content.problem}", hint=content.hint)
        return file, content

    async def _look_into(self, file: LocalFile, image: Image, wanted: Mapping[str, str]) -> ImageContent:
        """Content of an image, which is looked at once: its digest stands for it."""
        key = "\n".join([file.sha256, image.kind, image.compression, *map(repr, wanted.items())])
        known = await asyncio.to_thread(self.cache.recall, FINDINGS, key)
        if known:
            return ImageContent(**{**known, "layer": Layer(known["layer"])})

        def look(stopped: threading.Event) -> ImageContent:
            kind, most = IMAGE_KINDS[image.kind], image.compression.facts.looked_into
            try:
                with unpacking(file.path, image.compression, most, stopped) as unpacked:
                    return kind.look_into(unpacked, wanted)
            except DamagedFileError as error:
                return ImageContent(f"is damaged: {error}", "make or copy it again")

        content = await _in_thread(look)
        await asyncio.to_thread(local_file.check_unchanged, file)
        if not content.problem:  # a disk that cannot be read may be better next time
            with suppress(ServiceError):  # a cache of others: it is looked into again
                await asyncio.to_thread(self.cache.remember, FINDINGS, key, asdict(content))
        return content


def wanted_files(environment: Environment) -> dict[str, str]:
    """Files that the image must have, by their words; none that a post-install of its own may make."""
    if any(archive.script_words or archive.holds for archive in environment.postinstalls):
        return {}
    boot = environment.boot
    files = {"kernel": boot.kernel, "initrd": boot.initrd, "hypervisor": boot.hypervisor}
    return {what: path for what, path in files.items() if path}


async def _in_thread(work: Callable[[threading.Event], Checked]) -> Checked:
    """Work in a thread, which ends with the caller."""
    stopped = threading.Event()
    working = asyncio.create_task(asyncio.to_thread(work, stopped), name="looking-into-a-file")
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        stopped.set()
        await asyncio.wait([working])
        working.exception()  # it was interrupted
        raise


def _check_compression(file: LocalFile, name: str, compression: Compression) -> None:
    """Check a file's first bytes; raises RefusedError where another compression was declared."""
    with local_file.open_file(file.path) as reader:
        head = reader.read(HEAD)
    found = recognize(head)
    if found is compression:
        return
    if found is not None:
        hint = f"write 'compression: {found}'"
        raise RefusedError(f"{name} is declared as {compression}, but is {found}", hint=hint)
    what = describe(head) or "not compressed in any known way"
    raise RefusedError(f"{name} is declared as {compression}, but is {what}")


def _check_digest(file: str, declared: str, found: str, hint: str) -> None:
    if declared and declared != found:
        raise RefusedError(f"{file} has SHA-256 {found}, the description declares {declared}", hint=hint)
