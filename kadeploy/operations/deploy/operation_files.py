# SPDX-License-Identifier: Apache-2.0
"""The files that custom operations send and run: read, within bounds, before a node is touched."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from kadeploy.config.custom_operations import CustomOperationSetting, file_name
from kadeploy.config.custom_steps import CustomOperations, CustomSteps
from kadeploy.config.server import MEGABYTE
from kadeploy.config.site import Site
from kadeploy.environments.download import fetch_bytes
from kadeploy.environments.location import is_http, local_path, resolve
from kadeploy.errors import NotFoundError, RefusedError
from kadeploy.steps.custom_operation import File

DOWNLOADED_MODE = 0o644


def with_absolute_files(steps: CustomSteps, origin: str) -> CustomSteps:
    """The custom steps of a file with the files that it names relative to itself made absolute."""

    def absolute(operation: CustomOperationSetting) -> CustomOperationSetting:
        return operation.model_copy(update={"file": resolve(operation.file, origin)})

    changed: dict[str, dict[str, CustomOperations]] = {}
    for name, micro, lists in steps.entries():
        given = {
            field: tuple(absolute(o) if o.file else o for o in getattr(lists, field))
            for field in lists.model_fields_set - {"override"}
        }
        changed.setdefault(name, {})[micro] = lists.model_copy(update=given)
    return CustomSteps(changed)


def locate(operation: CustomOperationSetting, site: Site) -> str:
    """Location of an operation's file; a cluster's file names it below the configuration directory."""
    return resolve(operation.file, str(site.directory / "server.conf"))


async def read(locations: Iterable[str], limit: int, tell: Callable[[str], None]) -> dict[str, File]:
    """The files by their locations; ``limit`` is the number of megabytes of all of them together.

    Raises NotFoundError, RefusedError (too large), ServiceError (the other side is at fault).
    """
    files: dict[str, File] = {}
    left = limit * MEGABYTE
    for location in dict.fromkeys(locations):
        tell(location)
        file = await _read(location, left)
        left -= len(file.content)
        if left < 0:
            raise RefusedError(
                f"the files of custom operations are larger than {limit} MB together, up to {location}",
                hint="environments.max_postinstall_size in server.conf limits them",
            )
        files[location] = file
    return files


async def _read(location: str, limit: int) -> File:
    """A file, or a little more than ``limit`` bytes of it."""
    if is_http(location):
        return File(file_name(location), await fetch_bytes(location, limit), DOWNLOADED_MODE)
    return await asyncio.to_thread(_read_local, local_path(location), limit)


def _read_local(path: Path, limit: int) -> File:
    try:
        # Not every name is a file's: a pipe would let its reader wait for ever.
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise NotFoundError(f"{path} is not a file")
        with path.open("rb") as file:
            return File(path.name, file.read(limit + 1), stat.S_IMODE(status.st_mode) & 0o777)
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read: {error.strerror}") from error
