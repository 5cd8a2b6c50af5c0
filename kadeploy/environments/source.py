# SPDX-License-Identifier: Apache-2.0
"""Sources of descriptions: files, URLs and standard input, in the present or the old format."""

from __future__ import annotations

import asyncio

from kadeploy import text_file
from kadeploy.environments import description, old_format
from kadeploy.environments.description import Description
from kadeploy.environments.location import is_http, local_path, resolve
from kadeploy.environments.model import ArchiveModel, DescriptionModel
from kadeploy.errors import FileError, FileProblem


async def load(location: str) -> Description:
    """Read a description from a path or an http(s) URL.

    Files that it names relative to itself are made absolute. Raises NotFoundError where it cannot be
    read, FileError with all its problems.
    """
    if is_http(location):
        # Only here: most descriptions are files, and the HTTP client takes its time to import.
        from kadeploy.environments.download import fetch_bytes

        content = await fetch_bytes(location, description.MAX_BYTES)
    else:
        content = await asyncio.to_thread(_read, location)
    return parse(content, location)


def parse(content: bytes, location: str) -> Description:
    """Check a description that came from ``location`` (``-`` for standard input).

    Raises FileError with all its problems.
    """
    if len(content) > description.MAX_BYTES:
        raise FileError([FileProblem(location, f"larger than {description.MAX_BYTES} bytes")])
    text = text_file.decode(content, location)
    parsed = (old_format if old_format.is_old(text) else description).parse(text, location)
    return Description(_resolve(parsed.model, location), parsed.warnings)


def _read(location: str) -> bytes:
    return text_file.read(local_path(location), description.MAX_BYTES)


def _resolve(model: DescriptionModel, location: str) -> DescriptionModel:
    def absolute(archive: ArchiveModel) -> ArchiveModel:
        return archive.model_copy(update={"archive": resolve(archive.archive, location)})

    image = model.image.model_copy(update={"file": resolve(model.image.file, location)})
    changes = {
        "image": image,
        "preinstall": absolute(model.preinstall) if model.preinstall else None,
        "postinstalls": tuple(absolute(archive) for archive in model.postinstalls),
    }
    return model.model_copy(update=changes)
