# SPDX-License-Identifier: Apache-2.0
"""Loop that serves TFTP: takes requests at one port, and keeps the transfers of all clients going.

Strangers cost it a bounded share: what they ask beyond their allowance is dropped unread, and so is garbage.
Nobody gets an error for want of a place, since firmware gives up when it gets one.
"""

from __future__ import annotations

import io
import selectors
import socket
import time
from pathlib import Path
from typing import IO

from kadeploy.boot.admission import Admission, AdmittedClient
from kadeploy.boot.allowance import Allowances
from kadeploy.boot.repository import find_file
from kadeploy.boot.tftp_link import TftpReply
from kadeploy.boot.tftp_parent import NoReplyError, Parent
from kadeploy.boot.tftp_request import MAX_REQUEST, TftpRequest
from kadeploy.boot.tftp_transfer import TftpError, TftpTransfer, finished, refuse

HEALTH_NAME = ".healthz"  # a name of no file, by which the parent asks whether this process answers
_AT_ONCE = 32  # requests that are taken before transfers go on
_TICK = 0.1  # seconds between two looks at what is due

_Client = tuple[str, int]


class TftpServer:
    """Server at one port, of one repository."""

    def __init__(
        self,
        sock: socket.socket,
        repository: Path,
        parent: Parent,
        admission: Admission,
        allowances: Allowances,
    ) -> None:
        self._sock = sock
        self._repository = repository
        self._parent = parent
        self._admission = admission
        self._allowances = allowances
        self._address = sock.getsockname()[0]
        self._transfers: dict[_Client, _Running] = {}
        self._looked = 0.0

    def serve(self) -> None:
        """Serve for ever."""
        self._sock.setblocking(False)
        with selectors.DefaultSelector() as self._selector:
            self._selector.register(self._sock, selectors.EVENT_READ)
            while True:
                for key, _ in self._selector.select(_TICK):
                    if key.data is None:
                        self._take_requests()
                    elif not key.data.transfer.ended:
                        key.data.transfer.receive()
                        self._put_away(key.data)
                self._expire()

    def _expire(self) -> None:
        now = time.monotonic()
        if now - self._looked < _TICK:
            return
        self._looked = now
        for running in list(self._transfers.values()):
            running.transfer.expire(now)
            self._put_away(running)

    def _put_away(self, running: _Running) -> None:
        """Close a transfer that has ended, and report it."""
        transfer = running.transfer
        if not transfer.ended:
            return
        self._selector.unregister(transfer.sock)
        del self._transfers[transfer.client]
        transfer.close()
        self._admission.leave(running.place)
        status = running.reply.status if running.reply else 200
        self._parent.report(transfer.finished(status), running.reply)

    def _take_requests(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                packet, client = self._sock.recvfrom(MAX_REQUEST + 1)
            except BlockingIOError:
                return
            self._take(packet, client)

    def _take(self, packet: bytes, client: _Client) -> None:
        request = TftpRequest.parse(packet)
        if request is None:
            return
        if self._is_of_parent(request, client):
            refuse(self._sock, client, TftpError.NOT_FOUND)
        elif self._allowances.take(client[0]) and self._makes_way(request, client):
            self._answer(request, client)

    def _is_of_parent(self, request: TftpRequest, client: _Client) -> bool:
        """True for the parent's question: it needs no place, ends at once, and busy is not dead."""
        own = (self._address, "127.0.0.1")  # the kernel takes neither from outside
        return client[0] in own and request.name == HEALTH_NAME

    def _makes_way(self, request: TftpRequest, client: _Client) -> bool:
        """True where no transfer is in the way; one from the same port goes on where this asks for the same.

        The network may bring a request twice. Firmware that begins anew from its port asks for something
        else, or has not confirmed anything for a while.
        """
        running = self._transfers.get(client)
        if running is None:
            return True
        if running.transfer.request == request and not running.transfer.stalled(time.monotonic()):
            return False
        running.transfer.ended = True
        self._put_away(running)
        return True

    def _answer(self, request: TftpRequest, client: _Client) -> None:
        if request.upload or not request.known_mode:
            error, status = (TftpError.READ_ONLY, 403) if request.upload else (TftpError.ILLEGAL, 400)
            self._refuse(request, client, error, status)
            return
        place = self._place(client[0])
        if place is None:
            return
        try:
            running = self._begin(request, client, place)
        except (NoReplyError, OSError):  # no descriptor is free, or nobody knows the profile: it asks again
            self._admission.leave(place)
            return
        if running is None:
            self._admission.leave(place)
            self._refuse(request, client, TftpError.NOT_FOUND, 404)
            return
        self._transfers[client] = running
        self._selector.register(running.transfer.sock, selectors.EVENT_READ, running)

    def _place(self, address: str) -> AdmittedClient | None:
        """Place for a transfer, where need be that of one that the same address has not confirmed.

        Anybody may send requests in the name of a node, and never confirms what the node gets for them.
        """
        place = self._admission.enter(address)
        if place is not None:
            return place
        for running in self._transfers.values():  # in the order of their beginning
            if running.place.address == address and not running.transfer.confirmed:
                running.transfer.ended = True
                self._put_away(running)
                return self._admission.enter(address)
        return None

    def _begin(self, request: TftpRequest, client: _Client, place: AdmittedClient) -> _Running | None:
        """Transfer that has sent its first packet, None where there is no such file."""
        reply = self._parent.ask(request.name, client[0])
        content: IO[bytes]
        if reply is not None and reply.text is not None:
            content = io.BytesIO(reply.text.encode())
        else:
            reply = None
            path = find_file(self._repository, request.name)
            if path is None:
                return None
            content = path.open("rb")
        try:
            return _Running(TftpTransfer(client, request, content), place, reply)
        except OSError:
            content.close()
            raise

    def _refuse(self, request: TftpRequest, client: _Client, error: TftpError, status: int) -> None:
        refuse(self._sock, client, error)
        self._parent.report(finished(client[0], request, status), None)


class _Running:
    """Transfer that runs, its place, and the reply that it sends, None for a file."""

    def __init__(self, transfer: TftpTransfer, place: AdmittedClient, reply: TftpReply | None) -> None:
        self.transfer = transfer
        self.place = place
        self.reply = reply
