# SPDX-License-Identifier: Apache-2.0
"""Locations of files of environments: a path, ``local://``, ``server://``, ``http(s)://``.

While the engine runs in the command's own process, the client's files and the server's are the same.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urljoin

from kadeploy.errors import RefusedError


def is_http(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def local_path(uri: str) -> Path:
    """Path of a URI that is not HTTP; raises RefusedError for an unknown scheme."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return Path(uri)
    if scheme not in ("local", "server"):
        raise RefusedError(f"'{uri}' has an unknown scheme", hint="use a path, server:///path or http://…")
    return Path("/" + rest.lstrip("/"))


def resolve(uri: str, origin: str) -> str:
    """Make a location absolute that a description names; ``origin`` is the description's own location."""
    if "://" in uri or uri.startswith("/"):
        return uri
    if is_http(origin):
        return urljoin(origin, uri)
    if uri.startswith("~/"):
        return str(Path(uri).expanduser())
    return str((local_path(origin).absolute().parent / uri).resolve())
