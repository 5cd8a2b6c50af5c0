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

MAX_UNPROVEN = 32  # connections at once that have not proved the secret yet


class Listener:
    """Listener for peers; each that proved the secret is passed to `on_peer(socket, greeting)` in its own
    thread."""

    def __init__(
        self,
        address: str,
        secret: bytes,
        silence: float,
        on_peer: Callable[[socket.socket, Greeting], None],
    ) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.create_server((address, 0), family=family, backlog=128)
        self.port: int = self.socket.getsockname()[1]
        self._secret = secret
        self._silence = silence
        self._on_peer = on_peer
        self._slots = threading.BoundedSemaphore(MAX_UNPROVEN)
        self._unproven: dict[socket.socket, None] = {}  # the oldest first
        self._lock = threading.Lock()

    def run(self) -> None:
        """Accept peers until the socket is shut."""
        while True:
            try:
                sock, _ = self.socket.accept()
            except OSError as error:
                if error.errno in (errno.EINVAL, errno.EBADF):
                    return
                time.sleep(0.1)  # what is lacking, such as file descriptors, may be there again
                continue
            self._make_room()
            with self._lock:
                self._unproven[sock] = None
            spawn(self._handshake, sock)

    def _make_room(self) -> None:
        """Close the oldest connection that has not proved the secret when there are too many: a peer proves
        it at once."""
        while not self._slots.acquire(timeout=0.01):
            with self._lock:
                shut(next(iter(self._unproven), None))

    def _handshake(self, sock: socket.socket) -> None:
        try:
            greeting = accept(sock, self._secret, self._silence)
        except (PeerLost, OSError):
            sock.close()
            return
        finally:
            with self._lock:
                del self._unproven[sock]
            self._slots.release()
        if greeting.role == PROBE:
            answer_probe(sock, greeting)
        else:
            self._on_peer(sock, greeting)
