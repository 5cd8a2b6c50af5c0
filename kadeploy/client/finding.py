# SPDX-License-Identifier: Apache-2.0
"""Finding the server that a command asks, or that there is none and the command does the work itself.

The first of these that is there says it: `embedded`; `server`, a path or a name in client.conf;
``KADEPLOY_SERVER``, the same; the default of client.conf; the socket of this machine's kadeployd. Who names a
directory of configuration means its site, which need not be that of this machine's kadeployd.
"""

from __future__ import annotations

import os
from pathlib import Path

from kadeploy.errors import UsageError

SOCKET = Path("/run/kadeploy/kadeploy.sock")
VARIABLE = "KADEPLOY_SERVER"
CONFIGURATIONS = ("KADEPLOY_CONFIG_DIR", "KADEPLOY3_CONFIG_DIR")
DIRECTORY = Path("/etc/kadeploy")
CLIENT_FILE = "client.conf"
_SCHEME = "unix:"


def find_server(named: str | None, *, embedded: bool) -> Path | None:
    """Path of the socket of the server to ask, None where the command does the work itself.

    Raises UsageError for a name that nothing has, FileError for a client.conf that is wrong.
    """
    if embedded:
        if named is not None:
            raise UsageError("`embedded` and `server` exclude each other")
        return None
    if named := named or os.environ.get(VARIABLE):
        return _path(named) or _configured(named)
    if (found := _default()) is not None:
        return found
    return SOCKET if _directory() is None and SOCKET.exists() else None


def _path(text: str) -> Path | None:
    """Path that a text is, None for a name."""
    if text.startswith(_SCHEME):
        return Path(text.removeprefix(_SCHEME))
    if "://" in text:
        raise UsageError(
            f"{text}: servers of other machines are not supported yet", hint="name the path of a socket"
        )
    return Path(text) if "/" in text else None


def _default() -> Path | None:
    file = _file()
    if not _is_there(file):
        return None
    from kadeploy.client.client_file import read

    return read(file).default_socket


def _configured(name: str) -> Path:
    file = _file()
    if not _is_there(file):
        raise UsageError(
            f"server {name} is unknown: there is no {file}",
            hint="name the path of a socket, with its slashes",
        )
    from kadeploy.client.client_file import read

    sockets = read(file).sockets
    if name not in sockets:
        raise UsageError(f"server {name} is unknown", hint=f"{file} has {', '.join(sockets) or 'none'}")
    return sockets[name]


def _file() -> Path:
    return (_directory() or DIRECTORY) / CLIENT_FILE


def _directory() -> Path | None:
    """Directory of the configuration that the environment names."""
    found = (os.environ[name] for name in CONFIGURATIONS if os.environ.get(name))
    return next(map(Path, found), None)


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # in a directory that cannot be looked into: what reads its other files tells of it
        return False
