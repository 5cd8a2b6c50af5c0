# SPDX-License-Identifier: Apache-2.0
"""answers.py ADDRESS: when a machine's sshd first answers after a reboot, seen by nobody's eyes but these.

Starts a connection every 20 ms. Once the port has been silent for a second, so that the system that was to go
is gone, the first line that begins with ``SSH-`` is the answer: its time, in seconds since the epoch, is
printed, and no packet is sent to the machine after that.
"""

from __future__ import annotations

import select
import socket
import sys
import time

INTERVAL = 0.02
PATIENCE = 0.4  # seconds until a SYN without an answer is given up
BANNER_PATIENCE = 20.0  # an emulated machine forks slowly
GONE = 1.0

Attempts = dict[socket.socket, float]


def first_answer(address: str) -> float:
    """Blocks until the machine has gone and come back."""
    last_sign = time.time()
    while True:
        with connected(address) as connection:
            moment = banner(connection)
        if moment and time.time() - last_sign >= GONE:
            return moment
        if moment:
            last_sign = time.time()
            time.sleep(0.1)


def connected(address: str) -> socket.socket:
    """The first of many overlapping attempts that succeeds."""
    attempts: Attempts = {}
    try:
        while True:
            began = time.monotonic()
            attempts[start(address)] = began
            while (left := began + INTERVAL - time.monotonic()) > 0:
                _, writable, _ = select.select([], attempts, [], left)
                for attempt in writable:
                    del attempts[attempt]
                    if attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                        return attempt
                    attempt.close()
            expire(attempts)
    finally:
        for attempt in attempts:
            attempt.close()


def start(address: str) -> socket.socket:
    attempt = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    attempt.setblocking(False)
    attempt.connect_ex((address, 22))
    return attempt


def expire(attempts: Attempts) -> None:
    now = time.monotonic()
    for attempt in [attempt for attempt, began in attempts.items() if now - began > PATIENCE]:
        del attempts[attempt]
        attempt.close()


def banner(connection: socket.socket) -> float:
    """When the server's first bytes came, 0 when it hung up or said something else."""
    connection.setblocking(True)
    connection.settimeout(BANNER_PATIENCE)
    try:
        return time.time() if connection.recv(4) == b"SSH-" else 0.0
    except OSError:
        return 0.0


if __name__ == "__main__":
    print(first_answer(sys.argv[1]), flush=True)
