# SPDX-License-Identifier: Apache-2.0
"""Listener for peers; other connections do not disturb it.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable

from kadeploy.broadcast.node.wire import PROBE, Greeting, PeerLost, accept, answer_probe, shut, spawn

STRANGERS = 32  # so many may be about to prove the secret at once


class Listener:
    """Listener for peers; each that proved the secret is passed to `welcome(socket, greeting)` in its own
    thread."""

    def __init__(
        self,
        address: str,
        secret: bytes,
        silence: float,
        welcome: Callable[[socket.socket, Greeting], None],
    ) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.create_server((address, 0), family=family, backlog=128)
        self.port: int = self.socket.getsockname()[1]
        self._secret = secret
        self._silence = silence
        self._welcome = welcome
        self._slots = threading.BoundedSemaphore(STRANGERS)
        self._strangers: dict[socket.socket, None] = {}  # the oldest first
        self._lock = threading.Lock()

    def run(self) -> None:
        """Accept peers until the socket is shut."""
        while True:
            try:
                sock, _ = self.socket.accept()
            except OSError as error:
                if error.errno in (errno.EINVAL, errno.EBADF):
                    return
                time.sleep(0.1)  # what is lacking, such as file descriptors, may come back
                continue
            self._make_room()
            with self._lock:
                self._strangers[sock] = None
            spawn(self._greet, sock)

    def _make_room(self) -> None:
        """Disconnect the one that has had most time to prove the secret when there are too many: peers prove
        it at once."""
        while not self._slots.acquire(timeout=0.01):
            with self._lock:
                shut(next(iter(self._strangers), None))

    def _greet(self, sock: socket.socket) -> None:
        try:
            greeting = accept(sock, self._secret, self._silence)
        except (PeerLost, OSError):
            sock.close()
            return
        finally:
            with self._lock:
                del self._strangers[sock]
            self._slots.release()
        if greeting.role == PROBE:
            answer_probe(sock, greeting)
        else:
            self._welcome(sock, greeting)
