# SPDX-License-Identifier: Apache-2.0
"""Machines that fetch files by HTTP, all at once: a program that reads orders and writes what became of them.

Standard input has one JSON object (outcome.fetch_all says which), standard output another. The machines do as
iPXE does: a window of 256 kB (TCP_MAX_WINDOW_SIZE), one connection for all files, 15.75 s of patience with a
connection, none of it needed after that (it waits for data as long as the connection stands), and another
request when the server answers 503 with Retry-After.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from typing import Any

from benchmarks.boot_storm.outcome import Files, Outcome, fetch_all

WINDOW = 256 * 1024
CONNECT_TIME = 15.75  # seconds: 0.25, doubled six times
SILENCE = 300.0  # seconds without a byte: somebody would have switched the machine off and on by then
_TICK = 0.05


class Machine:
    """One machine that fetches one file after the other over one connection."""

    def __init__(self, address: str, server: tuple[str, int], files: Files, poller: select.epoll) -> None:
        self.outcome = Outcome(address)
        self._server = server
        self._files = files
        self._poller = poller
        self._file = 0
        self.sock: socket.socket | None = None
        self.again = 0.0  # when to connect, where it is not connected
        self.due = 0.0

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to do."""
        return self.outcome.seconds > 0

    def connect(self) -> None:
        """Open the connection; the request follows when it stands."""
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
        self.sock.bind((self.outcome.address, 0))
        self.sock.connect_ex(self._server)
        self.due = time.monotonic() + CONNECT_TIME
        self._poller.register(self.sock, select.EPOLLOUT)

    def act(self, events: int) -> None:
        """The connection stands, failed, or has brought something."""
        try:
            if events & select.EPOLLOUT:
                self._request()
            else:
                self._receive()
        except OSError as error:
            self.fail(str(error))

    def _request(self) -> None:
        assert self.sock is not None
        name, self._content = self._files[self._file]
        self._head = b""
        self._offset = -1
        self.sock.sendall(f"GET /{name} HTTP/1.1\r\nHost: {self._server[0]}\r\n\r\n".encode())
        self.due = time.monotonic() + SILENCE
        self._poller.modify(self.sock, select.EPOLLIN)

    def _receive(self) -> None:
        assert self.sock is not None
        data = self.sock.recv(WINDOW)
        self.due = time.monotonic() + SILENCE
        if not data:
            self.fail(f"the connection ended at byte {self._offset} of {self._files[self._file][0]}")
        elif self._offset >= 0:
            self._take(data)
        else:
            self._head += data
            if b"\r\n\r\n" in self._head:
                self._take_head()

    def _take_head(self) -> None:
        head, _, rest = self._head.partition(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        status = int(lines[0].split()[1])
        fields = dict(line.split(": ", 1) for line in lines[1:])
        if status == 503 and "retry-after" in fields:
            self._close()
            self.outcome.repeated += 1
            self.again = time.monotonic() + int(fields["retry-after"])
        elif status != 200 or int(fields["content-length"]) != len(self._content):
            self.fail(f"{lines[0]}, content-length {fields.get('content-length')}")
        else:
            self._offset = 0
            self._take(rest)

    def _take(self, data: bytes) -> None:
        if not self._content.startswith(data, self._offset):
            self.fail(f"wrong bytes at {self._offset} of {self._files[self._file][0]}")
            return
        self._offset += len(data)
        self.outcome.bytes += len(data)
        if self._offset < len(self._content):
            return
        self._file += 1
        if self._file < len(self._files):
            self._request()
        else:
            self._close()
            self.outcome.end()

    def fail(self, reason: str) -> None:
        """End with this reason."""
        self._close()
        self.outcome.end(reason)

    def _close(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None


def fetch(orders: dict[str, Any], files: Files) -> list[Outcome]:
    """Let all machines fetch; returns when the last has ended."""
    with select.epoll() as poller:
        server = (orders["host"], orders["port"])
        everyone = [Machine(address, server, files, poller) for address in orders["addresses"]]
        while any(not machine.ended for machine in everyone):
            _look_at_clocks(everyone)
            connected = {machine.sock.fileno(): machine for machine in everyone if machine.sock is not None}
            began = time.monotonic()
            while connected and time.monotonic() - began < _TICK:
                for descriptor, events in poller.poll(_TICK, 64):
                    connected[descriptor].act(events)
                connected = {number: one for number, one in connected.items() if one.sock is not None}
            if not connected:
                time.sleep(_TICK)
    return [machine.outcome for machine in everyone]


def _look_at_clocks(everyone: list[Machine]) -> None:
    now = time.monotonic()
    for machine in everyone:
        if machine.ended:
            continue
        if machine.sock is None and machine.again <= now:
            machine.connect()
        elif machine.sock is not None and machine.due <= now:
            machine.fail("no answer")


if __name__ == "__main__":
    print(json.dumps(fetch_all(fetch, json.load(sys.stdin))))
