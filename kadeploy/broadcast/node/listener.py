# SPDX-License-Identifier: Apache-2.0
"""Listener for peers; connections of strangers do not disturb it.

One thread accepts, and does the handshakes of all. Strangers can cost no more than a share of it, some memory
and some descriptors: half-open connections are few, each for a silence, and the oldest one of the address
that has most makes room for a new one.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import errno
import selectors
import socket
import threading
import time
from collections.abc import Callable

from kadeploy.broadcast.node.handshake import PROBE, Acceptance, Greeting
from kadeploy.broadcast.node.peer_connection import PeerConnection
from kadeploy.broadcast.node.probe import answer_probe
from kadeploy.broadcast.node.wire import PeerLost, open_for_data, spawn

MAX_HALF_OPEN = 256  # connections at once that have not proved the secret yet
MAX_ACCEPTED = 32  # in one round, before the handshakes go on
MAX_PROBES = 16  # of a rate, which are answered at once
REST = 4  # seconds without work for each second of a processor that the listener has used
BACKLOG = 256
ENDED = errno.EINVAL, errno.EBADF


class Listener:
    """Listener for peers; each that proved the secret is passed to `on_peer(connection, greeting)` in its own
    thread."""

    def __init__(
        self,
        address: str,
        secret: bytes,
        silence: float,
        on_peer: Callable[[PeerConnection, Greeting], None],
    ) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.create_server((address, 0), family=family, backlog=BACKLOG)
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]
        self._secret = secret
        self._silence = silence
        self._on_peer = on_peer
        self._probes = threading.BoundedSemaphore(MAX_PROBES)
        self._half_open: dict[socket.socket, _HalfOpen] = {}  # the oldest first
        self._by_address: dict[str, dict[socket.socket, None]] = {}  # the same sockets
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.socket, selectors.EVENT_READ)

    def run(self) -> None:
        """Accept peers until the socket is shut."""
        try:
            while True:
                ready = self._selector.select(self._wait())
                began = time.thread_time()
                self._drop_silent()
                for key, _ in ready:
                    if key.fileobj is not self.socket:
                        self._go_on(key.fileobj)  # type: ignore[arg-type]
                    elif not self._accept():
                        return
                time.sleep(REST * (time.thread_time() - began))
        finally:
            for sock in list(self._half_open):
                self._drop(sock)
            self._selector.close()

    def _wait(self) -> float | None:
        """Seconds until the oldest half-open connection has had its time; None without any."""
        for half_open in self._half_open.values():
            return max(half_open.deadline - time.monotonic(), 0.0)
        return None

    def _accept(self) -> bool:
        """Accept some of those that wait; False when the socket was shut."""
        for _ in range(MAX_ACCEPTED):
            try:
                sock, (address, *_) = self.socket.accept()
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno in ENDED:
                    return False
                self._drop_one()
                time.sleep(0.1)  # what is lacking, such as file descriptors, may be there again
                return True
            sock.setblocking(False)
            if len(self._half_open) >= MAX_HALF_OPEN:
                self._drop_one()
            self._half_open[sock] = _HalfOpen(Acceptance(self._secret), address, self._silence)
            self._by_address.setdefault(address, {})[sock] = None
            self._selector.register(sock, selectors.EVENT_READ)
        return True

    def _go_on(self, sock: socket.socket) -> None:
        """Go on with the handshake of a connection from which something has come."""
        half_open = self._half_open.get(sock)
        if half_open is None:
            return  # it was dropped in this round
        acceptance = half_open.acceptance
        try:
            data = sock.recv(acceptance.wanted)
            answer = acceptance.receive(data)
            if not data or sock.send(answer) < len(answer):
                raise PeerLost("connection closed")
        except BlockingIOError:
            return
        except (PeerLost, OSError):
            self._drop(sock)
            return
        if acceptance.greeting:
            self._forget(sock)
            open_for_data(sock, self._silence)
            spawn(self._serve, acceptance.connection(sock), acceptance.greeting)

    def _serve(self, connection: PeerConnection, greeting: Greeting) -> None:
        if greeting.role != PROBE:
            self._on_peer(connection, greeting)
        elif not greeting.last:
            answer_probe(connection, 0, self._silence)
        elif self._probes.acquire(blocking=False):
            answer_probe(connection, greeting.last, self._silence)
            self._probes.release()
        else:
            connection.close()

    def _drop_silent(self) -> None:
        now = time.monotonic()
        for sock, half_open in list(self._half_open.items()):
            if half_open.deadline > now:
                return
            self._drop(sock)

    def _drop_one(self) -> None:
        """Close the oldest half-open connection of the address that has most: a peer proves the secret at
        once."""
        if self._by_address:
            most = max(self._by_address.values(), key=len)
            self._drop(next(iter(most)))

    def _drop(self, sock: socket.socket) -> None:
        self._forget(sock)
        sock.close()

    def _forget(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        address = self._half_open.pop(sock).address
        others = self._by_address[address]
        del others[sock]
        if not others:
            del self._by_address[address]


class _HalfOpen:
    """Connection of a peer that has not proved the secret yet."""

    def __init__(self, acceptance: Acceptance, address: str, silence: float) -> None:
        self.acceptance = acceptance
        self.address = address
        self.deadline = time.monotonic() + silence
