# SPDX-License-Identifier: Apache-2.0
"""``announce.py INTERFACE ADDRESS``: tell everybody that an address is here, fifty times a second."""

from __future__ import annotations

import socket
import struct
import sys
import time

BROADCAST = b"\xff" * 6


def main(interface: str, address: str) -> None:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((interface, 0x0806))
    own, ip = wire.getsockname()[4], socket.inet_aton(address)
    header = BROADCAST + own + struct.pack("!H", 0x0806)
    request = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + own + ip + BROADCAST + ip
    while True:
        wire.send(header + request)
        time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
