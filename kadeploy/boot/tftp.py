# SPDX-License-Identifier: Apache-2.0
"""TFTP server: tftpy in a process of its own, read-only, confined to the repository.

A process of its own because tftpy select()s in a blocking loop. Started by kadeploy.boot.service as
``python -m kadeploy.boot.tftp REPOSITORY ADDRESS PORT``. Its standard output is one line ``ready``, then a
JSON line per finished request. It ends when its standard input does, hence with
its parent, however that ended.

Reads (RFC 1350) with the options blksize (RFC 2348) and tsize (RFC 2349); writes are refused.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import socket
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

import tftpy
from tftpy.TftpContexts import TftpContextServer

from kadeploy.boot.admission import TFTP_EACH, Admission, open_files
from kadeploy.boot.repository import find_file
from kadeploy.boot.requests import BootFileRequest

READY = "ready"
RETRANSMISSION = 1  # seconds
RETRIES = 8  # of one packet, until a client is given up
# select() takes descriptors below 1024 only; a session needs two.
MAX_SESSIONS = 480
# Room for requests that come while others are answered: 1000 of them, where the kernel allows it.
_REQUEST_BUFFER = 1024 * 1024
_SO_RCVBUFFORCE = 33  # of Linux's asm-generic/socket.h; Python does not name it

_READ, _WRITE = b"\0\1", b"\0\2"  # opcodes


class TftpTransfer(TftpContextServer):  # type: ignore[misc]
    """Transfer of one file; bad packets end their own session at most, and each end is reported.

    tftpy lets any exception but its own end the server, for example the UnicodeDecodeError of a file name.
    """

    requested = ""
    upload = False
    admission: Admission  # of all sessions
    last_update: float
    retry_count: int
    _admitted = False

    def start(self, buffer: bytes) -> None:
        """Answer the first packet, or stay silent where there is no room: the client asks again in a while.

        An error would make it give up.
        """
        if not self.admission.enter(self.address):
            raise tftpy.TftpException("too many transfers")
        self._admitted = True
        if buffer[:2] in (_READ, _WRITE):
            self.requested = buffer[2:].partition(b"\0")[0].decode(errors="replace")
            self.upload = buffer[:2] == _WRITE
        self._guard(partial(super().start, buffer))

    def cycle(self) -> None:
        """Answer a further packet."""
        self._guard(super().cycle)

    def checkTimeout(self, now: float) -> None:
        """Send the last packet again when it is due; after the last time raise TftpTimeout.

        Done here and not left to tftpy, which does not restart the clock when it sends again: beside other
        traffic all its retries are used up at once.
        """
        if now - self.last_update <= self.timeout:
            return
        self.last_update = now
        self.retry_count += 1
        try:
            if self.retry_count < RETRIES:
                self._guard(self.state.resendLast)
                return
        except tftpy.TftpException:
            pass  # the client is gone: as after the last retry
        self.retry_count = self.retries
        raise tftpy.TftpTimeout("the client does not answer any more")

    def _guard(self, action: Any) -> None:
        try:
            action()
        except tftpy.TftpException:
            raise
        except Exception as error:
            raise tftpy.TftpException(f"{type(error).__name__}: {error}") from error

    def end(self) -> None:
        """Close the session and report it."""
        super().end()
        if self._admitted:
            self.admission.leave(self.address)
        if not self.requested:
            return  # refused, or not even a request
        request = BootFileRequest(
            time=datetime.now(UTC),
            protocol="tftp",
            client=self.address,
            path="/" + self.requested.lstrip("/"),
            status=self._status(),
            bytes=self.metrics.bytes,
            seconds=round(time.time() - self.metrics.start_time, 3),
        )
        print(request.to_json(), flush=True)  # noqa: T201 - the interface to the parent

    def _status(self) -> int:
        if self.upload:
            return 403
        if self.fileobj is None:
            return 404
        return 200 if self.state is None else 499


def _open(repository: Path, name: str, **_client: object) -> IO[bytes] | None:
    path = find_file(repository, name)
    if path is None:
        return None
    try:
        return path.open("rb")
    except OSError:
        return None


def _end_with_parent() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    os._exit(0)


def _announce(server: tftpy.TftpServer) -> None:
    server.is_running.wait()
    _enlarge(server.sock)
    print(READY, flush=True)  # noqa: T201 - the interface to the parent


def _enlarge(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _REQUEST_BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _REQUEST_BUFFER)  # up to net.core.rmem_max


def main(arguments: list[str]) -> int:
    """Serve until the parent is gone; status 1 and a line on stderr where the port cannot be had."""
    repository, address, port = Path(arguments[0]), arguments[1], int(arguments[2])
    logging.getLogger("tftpy").setLevel(logging.CRITICAL)  # finished requests tell what happened
    TftpTransfer.admission = Admission(min(MAX_SESSIONS, open_files() // 2), TFTP_EACH)
    # tftpy has no other way to say what a session is; and 'import tftpy.TftpServer' yields the class in it.
    vars(importlib.import_module("tftpy.TftpServer"))["TftpContextServer"] = TftpTransfer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # tftpy opens what is below its root by itself, links included. Its root is removed as soon as it has
    # checked that it exists, so that every name comes to _open.
    with tempfile.TemporaryDirectory(prefix="kadeploy-tftp-") as root:
        opener = partial(_open, repository)
        server = tftpy.TftpServer(root, dyn_file_func=opener, upload_open=lambda path, context: None)
    threading.Thread(target=_announce, args=(server,), daemon=True).start()
    try:
        server.listen(address, port, timeout=RETRANSMISSION, retries=RETRIES)
    except OSError as error:
        print(error.strerror, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
