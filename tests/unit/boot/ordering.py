# SPDX-License-Identifier: Apache-2.0
"""A running boot server with a store of orders, and machines that ask it from addresses of loopback."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from kadeploy.boot import profile
from kadeploy.boot.programs import ipxe
from kadeploy.boot.requests import BootFileRequest, requests_of
from kadeploy.config.clusters import Node
from kadeploy.config.server import Ports
from kadeploy.store.boot_orders import BootOrder, BootOrders
from kadeploy.store.store import Store
from tests.unit.boot.service import STORE

NODE, ADDRESS, STRANGER = "n-1", "127.0.0.11", "127.0.0.99"
PATH = f"profiles/{ADDRESS}"
TEXT = profile.minios(ipxe.MEMBER, "http://h", kernel="k", initrd="i", secret=True)
SECRET = re.compile(rf"{profile.SECRET_PARAMETER}=([0-9a-f]{{64}}) ")

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class OrderingSite:
    """Site of a running server; what is done with its store is done by a process of its own in real life."""

    directory: Path
    ports: Ports

    def with_orders(self, use: Callable[[BootOrders], Awaitable[Result]]) -> Result:
        async def run() -> Result:
            async with Store.open(self.directory / STORE) as store:
                return await use(BootOrders(store))

        return asyncio.run(run())

    def place(
        self, *, address: str = ADDRESS, mac: str = "", path: str = PATH, secret: bool = True
    ) -> BootOrder:
        node = Node(NODE, address, "", "c", mac=mac)
        text = TEXT if secret else ipxe.MEMBER.local_disk("")
        return self.with_orders(lambda orders: orders.place(node, path, text, secret_wanted=secret))

    def read(self) -> BootOrder:
        found = self.with_orders(lambda orders: orders.read(NODE))
        assert found is not None
        return found

    def until(self, fetched: int) -> BootOrder:
        """The order once that many fetches count."""
        end = time.monotonic() + 5
        while (order := self.read()).fetched < fetched:
            assert time.monotonic() < end, order
            time.sleep(0.05)
        return order

    def stays_unfetched(self, number: int) -> BootOrder:
        """The order, of which this many fetches count, and no more a while later."""
        time.sleep(0.4)
        order = self.read()
        assert order.fetched == number, order
        return order

    def ask(self, request: str, client: str = ADDRESS, *, most: int = -1) -> bytes:
        """Send this, read until the end or as many bytes, and close the connection."""
        with self.connect(client) as connection:
            connection.sendall(request.encode())
            if most >= 0:
                return connection.recv(most)
            content = b""
            while part := connection.recv(65536):
                content += part
            return content

    def connect(self, client: str = ADDRESS) -> socket.socket:
        return socket.create_connection(
            ("127.0.0.1", self.ports.http), timeout=10, source_address=(client, 0)
        )

    def get(
        self, path: str = f"/{PATH}", client: str = ADDRESS, *, method: str = "GET", more: str = ""
    ) -> bytes:
        return self.ask(f"{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{more}\r\n", client)

    def requests(self, client: str) -> list[BootFileRequest]:
        return requests_of(self.directory / "boot", client, datetime.now(UTC) - timedelta(minutes=1))

    def accept(self, order: BootOrder, secret: str) -> bool:
        return self.with_orders(lambda orders: orders.accept(order.number, secret))


def secret_of(answer: bytes) -> str:
    """The one secret in an answer."""
    (found,) = SECRET.findall(answer.decode())
    return str(found)


def has_no_secret(answer: bytes) -> bool:
    text = answer.decode()
    return profile.SECRET_PARAMETER not in text and profile.SECRET_PLACE not in text
