# SPDX-License-Identifier: Apache-2.0
"""Where files of environments are: a path, ``local://``, ``server://``, ``http(s)://``.

While the engine runs in the command's own process, the client's files and the server's are the same.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urljoin

from kadeploy.errors import RefusedError


def is_http(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def local_path(uri: str) -> Path:
    """The path of a URI that is not HTTP; raises RefusedError for a scheme that is not known."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return Path(uri)
    if scheme not in ("local", "server"):
        raise RefusedError(f"'{uri}' has an unknown scheme", hint="use a path, server:///path or http://…")
    return Path("/" + rest.lstrip("/"))


def resolve(uri: str, origin: str) -> str:
    """A file named in a description, relative to ``origin``, the place of the description itself."""
    if "://" in uri or uri.startswith("/"):
        return uri
    if is_http(origin):
        return urljoin(origin, uri)
    if uri.startswith("~/"):
        return str(Path(uri).expanduser())
    return str((local_path(origin).absolute().parent / uri).resolve())
