# SPDX-License-Identifier: Apache-2.0
"""Serial console of a container node: a terminal that is recorded, and a socket to attach to it."""

from __future__ import annotations

import os
import select
import signal
import socket
from contextlib import suppress
from pathlib import Path

from kadeploy.masking import MaskedStream


class Console:
    """Console with the node's end as ``slave``, always the same number. Signals wake ``serve``."""

    def __init__(self, record: Path, path: Path) -> None:
        self._master, self.slave = os.openpty()
        self._slave_path = os.ttyname(self.slave)
        os.set_blocking(self._master, False)
        self._record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._listener.setblocking(False)
        self._user: socket.socket | None = None
        self._stream = MaskedStream()
        self._wakeup, self._waking = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler the signal does not wake `serve`

    def reopen(self) -> None:
        """Open the node's end again: a getty hangs up the terminal and each open end (vhangup(2))."""
        opened = os.open(self._slave_path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        os.dup2(opened, self.slave, inheritable=False)
        os.close(opened)

    def close(self) -> None:
        """Close the terminal and the socket, and stop to handle the signals."""
        signal.set_wakeup_fd(-1)
        self._drop_user()
        self._listener.close()
        for descriptor in (self._master, self.slave, self._record, self._wakeup, self._waking):
            os.close(descriptor)

    def write_line(self, line: str) -> None:
        """Write a line of the machine itself."""
        self._write(f"{line}\r\n".encode())

    def serve(self, seconds: float | None, other: int) -> bool:
        """Wait for the console, a signal or another descriptor; True if that one is readable."""
        watched = [self._master, self._listener.fileno(), self._wakeup, other]
        if self._user is not None:
            watched.append(self._user.fileno())
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._wakeup in ready:
            os.read(self._wakeup, 4096)
        if self._master in ready:
            self._write(os.read(self._master, 65536))
        if self._user is not None and self._user.fileno() in ready:
            self._forward_input(self._user)
        if self._listener.fileno() in ready:
            self._accept_user()
        return other in ready

    def _write(self, data: bytes) -> None:
        data = self._stream.feed(data)
        os.write(self._record, data)
        if self._user is not None:
            with suppress(BlockingIOError):  # the user reads too slowly; the record has the data
                try:
                    self._user.send(data)
                except OSError:
                    self._drop_user()

    def _forward_input(self, user: socket.socket) -> None:
        try:
            data = user.recv(4096)
        except OSError:
            data = b""
        if data:
            with suppress(BlockingIOError):
                os.write(self._master, data)
        else:
            self._drop_user()

    def _accept_user(self) -> None:
        connection, _ = self._listener.accept()
        if self._user is not None:
            connection.close()
            return
        connection.setblocking(False)
        self._user = connection

    def _drop_user(self) -> None:
        if self._user is not None:
            self._user.close()
            self._user = None
