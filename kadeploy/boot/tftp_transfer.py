# SPDX-License-Identifier: Apache-2.0
"""Transfer of one file by TFTP: block by block, each sent again until it is confirmed (RFC 1350)."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from enum import IntEnum
from typing import IO

from tftpy.TftpPacketTypes import TftpPacketDAT, TftpPacketERR, TftpPacketOACK
from tftpy.TftpShared import TftpErrors

from kadeploy.boot.requests import BootFileRequest
from kadeploy.boot.tftp_request import PLAIN_BLOCK, TftpRequest

RETRANSMISSION = 1.0  # seconds, unless the client asks for another time
SILENCE = 8.0  # seconds without a confirmation, until a client is given up
# The same in times of a client that has asked for a longer one, and seconds for which nobody waits longer.
_PATIENCE, _LONGEST_SILENCE = 3, 60.0
_CONFIRMATION, _ERROR = b"\0\4", b"\0\5"  # opcodes


class TftpError(IntEnum):
    """Error that ends a transfer before it has begun."""

    NOT_FOUND = TftpErrors.FileNotFound
    READ_ONLY = TftpErrors.AccessViolation
    ILLEGAL = TftpErrors.IllegalTftpOp


class TftpTransfer:
    """Transfer to one client, over a socket that hears nobody else.

    ``status`` is that of the log of requests: 499 until the client has confirmed the last block.
    """

    def __init__(self, client: tuple[str, int], request: TftpRequest, content: IO[bytes]) -> None:
        self.client = client
        self.request = request
        self.confirmed = False
        self.ended = False
        self.status = 499
        self._content = content
        self._started = time.monotonic()
        self._interval = float(request.interval or RETRANSMISSION)
        self._silence = max(SILENCE, min(_PATIENCE * self._interval, _LONGEST_SILENCE))
        self._progress = self._started
        self._sent = 0
        self._block = 0
        self._last = False
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.sock.setblocking(False)
            self.sock.connect(client)
            self._begin()
        except BaseException:
            self.sock.close()
            raise

    def _begin(self) -> None:
        size = self._content.seek(0, os.SEEK_END)
        self._content.seek(0)
        if options := self.request.accepted(size):
            packet = TftpPacketOACK()
            packet.options = options
            self._send(packet.encode().buffer)
        else:
            self._next()

    def _next(self) -> None:
        """Send the next block."""
        size = self.request.block or PLAIN_BLOCK
        packet = TftpPacketDAT()
        packet.data = self._content.read(size)
        self._block = packet.blocknumber = (self._block + 1) & 0xFFFF
        self._sent += len(packet.data)
        self._last = len(packet.data) < size
        self._send(packet.encode().buffer)

    def _send(self, packet: bytes) -> None:
        """Send a packet, and again later; one that the kernel does not take is lost like any other."""
        self._packet = packet
        self._due = time.monotonic() + self._interval
        with suppress(OSError):
            self.sock.send(packet)

    def receive(self) -> None:
        """Take one packet of the client; what it cannot mean is passed over."""
        try:
            packet = self.sock.recv(4)
        except BlockingIOError:
            return
        except OSError:  # nobody listens at its port any more
            self.ended = True
            return
        if packet[:2] == _ERROR:
            self.ended = True
        elif packet == _CONFIRMATION + self._block.to_bytes(2):
            self._advance()
        # A repeated confirmation brings nothing (RFC 1123, 4.2.3.1), nor does it put off what is due: who
        # repeats it misses the block that was sent.

    def _advance(self) -> None:
        self.confirmed = True
        self._progress = time.monotonic()
        if self._last:
            self.ended, self.status = True, 200
            return
        self._next()

    def expire(self, now: float) -> None:
        """Send the last packet again where it is due, or give the client up."""
        if now - self._progress >= self._silence:
            self.ended = True
        elif now >= self._due:
            self._send(self._packet)

    def stalled(self, now: float) -> bool:
        """True where the client has confirmed nothing for a while."""
        return now - self._progress >= RETRANSMISSION

    def close(self) -> None:
        """Close socket and file."""
        self.sock.close()
        self._content.close()

    def finished(self, status: int) -> BootFileRequest:
        """Line for the log of requests, with the status of an answer that was taken whole."""
        return finished(
            self.client[0],
            self.request,
            status if self.status == 200 else self.status,
            self._sent,
            time.monotonic() - self._started,
        )


def refuse(sock: socket.socket, client: tuple[str, int], error: TftpError) -> None:
    """Send an error, by which firmware goes on at once."""
    packet = TftpPacketERR()
    packet.errorcode = int(error)
    with suppress(OSError):
        sock.sendto(packet.encode().buffer, client)


def finished(
    client: str, request: TftpRequest, status: int, sent: int = 0, seconds: float = 0.0
) -> BootFileRequest:
    """Line for the log of requests."""
    return BootFileRequest(
        time=datetime.now(UTC),
        protocol="tftp",
        client=client,
        path="/" + request.name.lstrip("/"),
        status=status,
        bytes=sent,
        seconds=round(seconds, 3),
    )
