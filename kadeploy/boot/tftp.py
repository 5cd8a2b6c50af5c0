# SPDX-License-Identifier: Apache-2.0
"""TFTP server: tftpy in a process of its own, read-only, confined to the repository.

A process of its own because tftpy select()s in a blocking loop. Started by kadeploy.boot.service as
``python -m kadeploy.boot.tftp REPOSITORY PROFILES ADDRESS PORT``, where PROFILES is the directory of profiles
in the repository. Its standard output is one line ``ready``, then a JSON line per finished request, and
questions for profiles, whose replies come on its standard input (``tftp_link.py``). It ends when that does,
hence with its parent, however that ended.

Reads (RFC 1350) with the options blksize (RFC 2348) and tsize (RFC 2349); writes are refused.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import queue
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
from kadeploy.boot.repository import find_file, profile_names
from kadeploy.boot.requests import BootFileRequest
from kadeploy.boot.tftp_link import TftpCompletion, TftpQuestion, TftpReply

READY = "ready"
HEALTH_NAME = ".healthz"  # a name of no file, by which the parent asks whether this process answers
# Seconds for a reply, and seconds for which nobody is asked when there was none: firmware asks again.
REPLY_TIMEOUT, SILENCE = 0.5, 1.0
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
    parent: Parent  # of all sessions
    server_address: str  # of all sessions
    reply: TftpReply | None = None
    last_update: float
    retry_count: int
    _admitted = False
    _began = 0.0

    def start(self, buffer: bytes) -> None:
        """Answer the first packet, or stay silent where there is no room: the client asks again in a while.

        An error would make it give up.
        """
        self._began = time.monotonic()
        if not self._is_of_parent(buffer):
            if not self.admission.enter(self.address):
                raise tftpy.TftpException("too many transfers")
            self._admitted = True
        # The kernel drops what comes from anybody else: tftpy would take it for the client's.
        self.sock.connect((self.host, self.port))
        if buffer[:2] in (_READ, _WRITE):
            requested = buffer[2:].partition(b"\0")[0].decode(errors="replace")
            self.upload = buffer[:2] == _WRITE
            if not self.upload:
                self._ask(requested)
            self.requested = requested
        self._guard(partial(super().start, buffer))

    def _is_of_parent(self, buffer: bytes) -> bool:
        """True for the parent's question: it needs no place, ends at once, and busy is not dead."""
        own = (self.server_address, "127.0.0.1")  # the kernel takes neither from outside
        return self.address in own and buffer.startswith(_READ + HEALTH_NAME.encode() + b"\0")

    def _ask(self, name: str) -> None:
        """Ask for a profile; stay silent where nobody knows: after an error a machine would boot its disk."""
        self.reply = self.parent.ask(name, self.address)
        if self.reply is None or self.reply.text is None:
            return
        content = self.reply.text.encode()
        self.dyn_file_func = lambda *_, **__: io.BytesIO(content)
        self.flock = False

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
        if self.requested in ("", HEALTH_NAME):
            return  # refused, or not even a request, or one of the parent
        request = BootFileRequest(
            time=datetime.now(UTC),
            protocol="tftp",
            client=self.address,
            path="/" + self.requested.lstrip("/"),
            status=self._status(),
            bytes=self.metrics.bytes,
            seconds=round(time.monotonic() - self._began, 3),
        )
        print(request.to_json(), flush=True)  # noqa: T201 - the interface to the parent
        if self.reply is not None and request.status == self.reply.status:
            print(TftpCompletion(self.reply.number).to_json(), flush=True)  # noqa: T201

    def _status(self) -> int:
        if self.upload:
            return 403
        if self.fileobj is None:
            return 404
        if self.state is not None:
            return 499
        return self.reply.status if self.reply else 200


def _open(repository: Path, name: str, **_client: object) -> IO[bytes] | None:
    path = find_file(repository, name)
    if path is None:
        return None
    try:
        return path.open("rb")
    except OSError:
        return None


class Parent:
    """Parent that is asked for profiles, by one thread; what it replies is read by another one."""

    def __init__(self, repository: Path, directory: str) -> None:
        self._repository = repository
        self._directory = directory
        self._replies: queue.SimpleQueue[TftpReply] = queue.SimpleQueue()
        self._number = 0
        self._silent_until = 0.0

    def ask(self, name: str, client: str) -> TftpReply | None:
        """Ask for a profile; None for the name of anything else.

        Raises TftpException where there is no reply in time. All transfers wait meanwhile, so the next
        questions are not even asked.
        """
        if not profile_names(self._repository, self._directory, name):
            return None
        if time.monotonic() < self._silent_until:
            raise tftpy.TftpException("nobody knows the profile now")
        self._number += 1
        print(TftpQuestion(self._number, name, client).to_json(), flush=True)  # noqa: T201
        reply = self._wait(time.monotonic() + REPLY_TIMEOUT)
        if reply is None or reply.away:
            self._silent_until = time.monotonic() + SILENCE
            raise tftpy.TftpException("nobody knows the profile now")
        if reply.again:
            raise tftpy.TftpException("this client gets no profile now")
        return reply

    def _wait(self, end: float) -> TftpReply | None:
        while True:
            try:
                reply = self._replies.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                return None
            if reply.number == self._number:
                return reply

    def read_replies(self) -> None:
        """Read replies, and end this process when its parent is gone."""
        with contextlib.suppress(OSError, ValueError):
            for line in sys.stdin:
                self._replies.put(TftpReply.from_json(line))
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
    repository, directory, address, port = Path(arguments[0]), arguments[1], arguments[2], int(arguments[3])
    parent = TftpTransfer.parent = Parent(repository, directory)
    logging.getLogger("tftpy").setLevel(logging.CRITICAL)  # finished requests tell what happened
    TftpTransfer.server_address = address
    TftpTransfer.admission = Admission(min(MAX_SESSIONS, open_files() // 2), TFTP_EACH)
    # tftpy has no other way to say what a session is; and 'import tftpy.TftpServer' yields the class in it.
    vars(importlib.import_module("tftpy.TftpServer"))["TftpContextServer"] = TftpTransfer
    threading.Thread(target=parent.read_replies, daemon=True).start()
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
