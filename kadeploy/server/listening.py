# SPDX-License-Identifier: Apache-2.0
"""Listening socket of the server, for all users of this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kadeploy.errors import ServiceError

BACKLOG = 1024
LONGEST = 107  # bytes of the path of a socket


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """Listen on a UNIX socket that everybody may connect to, while the block runs.

    One that a dead process has left is replaced. Raises ServiceError where another one answers there, or it
    cannot be made.
    """
    if len(os.fsencode(path)) > LONGEST:
        raise ServiceError(f"the path of the socket {path} is too long", hint=f"{LONGEST} bytes are the most")
    made = socket.socket(socket.AF_UNIX)
    try:
        try:
            _bind(made, path)
        except OSError as error:
            raise ServiceError(
                f"the socket {path} cannot be made: {error.strerror or error}",
                hint="kadeployd.socket in server.conf says where it is",
            ) from error
        try:
            yield made
        finally:
            path.unlink(missing_ok=True)
    finally:
        made.close()


def _bind(made: socket.socket, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    _remove_dead(path)
    mask = os.umask(0o111)  # everybody may connect: who that is the kernel says
    try:
        made.bind(os.fspath(path))
    finally:
        os.umask(mask)
    made.listen(BACKLOG)


def _remove_dead(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(os.fspath(path))
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise ServiceError(f"another server answers at {path}", hint="end that one first")
