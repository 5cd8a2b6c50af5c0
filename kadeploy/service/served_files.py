# SPDX-License-Identifier: Apache-2.0
"""Files that a caller of a server may name: by URLs, or below the directories that the site has for that.

Whatever else is on the machine of the server would be read with the rights of its process, not of the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

from kadeploy.config.site import Site
from kadeploy.environments.environment import Environment
from kadeploy.environments.location import is_http, local_path
from kadeploy.errors import RefusedError

SCHEME = "server://"


def files_of(environment: Environment) -> list[str]:
    """Locations of the files that an environment names."""
    archives = (environment.preinstall, *environment.postinstalls)
    return [environment.image.file, *(archive.archive for archive in archives if archive)]


async def check_served(site: Site, locations: Iterable[str]) -> None:
    """Raises RefusedError for a location of another kind, and for one that is outside of the directories."""
    directories = [site.path(directory) for directory in site.server.environments.directories]
    for location in locations:
        if is_http(location):
            continue
        if not location.startswith(SCHEME):
            raise RefusedError(
                f"{location} is a file of yours, which kadeployd does not read",
                hint=f"put it on a web server, or name a file of the server: {SCHEME}/…",
            )
        if not await asyncio.to_thread(_is_below, local_path(location), directories):
            raise RefusedError(
                f"{location} is not in a directory for environments",
                hint="environments.directories in server.conf names them",
            )


def _is_below(path: Path, directories: Sequence[Path]) -> bool:
    """Report that a file, wherever links lead, is below one of the directories."""
    try:
        real = path.resolve()
        return any(real.is_relative_to(directory.resolve()) for directory in directories)
    except (OSError, RuntimeError, ValueError):  # loops of links, names that no file can have
        return False
