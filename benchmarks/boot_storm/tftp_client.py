# SPDX-License-Identifier: Apache-2.0
"""Machines that fetch files by TFTP, all at once: a program that reads orders and writes what became of them.

Standard input and output are as for http_client.py; ``firmware`` names what the machines are.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections.abc import Iterable
from typing import Any

from benchmarks.boot_storm.firmware import FIRMWARE, Firmware
from benchmarks.boot_storm.outcome import Files, Outcome, fetch_all

_READ, _DATA, _ACK, _ERROR, _OACK = 1, 3, 4, 5, 6
_TICK = 0.02  # seconds between two looks at the timers
_PLAIN_BLOCK = 512


class Machine:
    """One machine that fetches one file after the other."""

    def __init__(
        self, address: str, server: tuple[str, int], files: Iterable[tuple[str, bytes]], firmware: Firmware
    ) -> None:
        self.outcome = Outcome(address)
        self._server = server
        self._firmware = firmware
        self._files = iter(files)
        self._address = address
        self.sock: socket.socket | None = None
        self.due = 0.0

    def start(self, poller: select.epoll, machines: dict[int, Machine]) -> None:
        """Ask for the next file, or end."""
        self._poller = poller
        self._machines = machines
        self._close()
        self._name, self._content = next(self._files, ("", b""))
        if not self._name:
            self.outcome.end()
            return
        self._offset = 0
        self._block = 1
        self._unacknowledged = 0
        self._block_size = _PLAIN_BLOCK
        self._window = 1
        self._peer = 0
        self._patience = self._firmware.patience()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind((self._address, 0))
        self._machines[self.sock.fileno()] = self
        poller.register(self.sock, select.EPOLLIN)
        words = [self._name, "octet", *(str(word) for option in self._firmware.options for word in option)]
        self._send(_READ.to_bytes(2) + b"".join(word.encode() + b"\0" for word in words))

    def _send(self, packet: bytes) -> None:
        assert self.sock is not None
        self._packet = packet
        self._sent = time.monotonic()
        self.due = self._sent + self._patience.timeout
        self.sock.sendto(packet, (self._server[0], self._peer or self._server[1]))

    def expire(self) -> None:
        """The answer is late."""
        if self._patience.expired():
            self.outcome.repeated += 1
            self._send(self._packet)
        else:
            self._fail(f"no answer at byte {self._offset} of {self._name}")

    def receive(self) -> None:
        """Take what has come."""
        while self.sock is not None:
            try:
                packet, (host, port) = self.sock.recvfrom(65536)
            except BlockingIOError:
                return
            if host != self._server[0] or port != (self._peer or port):
                continue
            self._peer = port
            self._take(int.from_bytes(packet[:2]), packet)

    def _take(self, opcode: int, packet: bytes) -> None:
        if opcode == _DATA:
            self._take_block(int.from_bytes(packet[2:4]), packet[4:])
        elif opcode == _OACK:
            words = packet[2:].rstrip(b"\0").split(b"\0")
            options = {key.lower(): int(value) for key, value in zip(words[::2], words[1::2], strict=True)}
            self._block_size = options.get(b"blksize", _PLAIN_BLOCK)
            self._window = options.get(b"windowsize", 1)
            self._answer(0)
        elif opcode == _ERROR:
            self._fail(f"refused: {packet[4:-1].decode(errors='replace')}")

    def _take_block(self, block: int, data: bytes) -> None:
        if block != self._block:
            if not self._unacknowledged:
                self._answer(self._block - 1)  # of what came twice, or after a loss
            return
        if not self._content.startswith(data, self._offset):
            self._fail(f"wrong bytes at {self._offset} of {self._name}")
            return
        self._offset += len(data)
        self.outcome.bytes += len(data)
        self._block = (block + 1) & 0xFFFF
        self._unacknowledged += 1
        last = len(data) < self._block_size
        if last or self._unacknowledged >= self._window:
            self._answer(block)
        if last:
            self._finish()

    def _answer(self, block: int) -> None:
        self._unacknowledged = 0
        self._patience.answered(time.monotonic() - self._sent)
        self._send(_ACK.to_bytes(2) + (block & 0xFFFF).to_bytes(2))

    def _finish(self) -> None:
        if self._offset == len(self._content):
            self.start(self._poller, self._machines)
        else:
            self._fail(f"{self._name} ended at {self._offset}")

    def _fail(self, reason: str) -> None:
        self._close()
        self.outcome.end(reason)

    def _close(self) -> None:
        if self.sock is not None:
            del self._machines[self.sock.fileno()]
            self.sock.close()
            self.sock = None


def fetch(orders: dict[str, Any], files: Files) -> list[Outcome]:
    """Let all machines fetch; returns when the last has ended."""
    server = (orders["host"], orders["port"])
    firmware = FIRMWARE[orders["firmware"]]
    everyone = [Machine(address, server, files, firmware) for address in orders["addresses"]]
    running: dict[int, Machine] = {}
    with select.epoll() as poller:
        for machine in everyone:
            machine.start(poller, running)
        looked = time.monotonic()
        while running:
            for descriptor, _ in poller.poll(_TICK, 64):
                if receiver := running.get(descriptor):
                    receiver.receive()
            if (now := time.monotonic()) - looked >= _TICK:
                looked = now
                for machine in [one for one in running.values() if one.due <= now]:
                    machine.expire()
    return [machine.outcome for machine in everyone]


if __name__ == "__main__":
    print(json.dumps(fetch_all(fetch, json.load(sys.stdin))))
