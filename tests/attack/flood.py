# SPDX-License-Identifier: Apache-2.0
"""``flood.py ADDRESS PORT``: connect some hundred times a second, and keep the last connections open."""

from __future__ import annotations

import socket
import sys
import time
from collections import deque
from contextlib import suppress

HELD = 600
PAUSE = 1 / 400  # seconds


def main(address: str, port: str) -> None:
    held: deque[socket.socket] = deque()
    while True:
        sock = socket.socket()
        sock.setblocking(False)
        with suppress(BlockingIOError):
            sock.connect((address, int(port)))
        held.append(sock)
        if len(held) > HELD:
            held.popleft().close()
        time.sleep(PAUSE)


if __name__ == "__main__":
    main(*sys.argv[1:])
