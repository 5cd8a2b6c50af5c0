# SPDX-License-Identifier: Apache-2.0
"""Process that serves TFTP, read-only, confined to the repository.

A process of its own, because many small packets would keep HTTP waiting. Started by tftp_process.py as
``python -m kadeploy.boot.tftp REPOSITORY PROFILES ADDRESS PORT``, where PROFILES is the directory of
profiles in the repository. Its standard input has one line with the clients first. Its standard output is one
line ``ready``, then a JSON line per finished request, and questions for profiles, whose replies come on its
standard input (``tftp_link.py``). It ends when that does, hence with its parent, however that ended.
"""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

from kadeploy.boot.admission import TFTP_EACH, TFTP_PREFIX, Admission, open_files
from kadeploy.boot.allowance import Allowances, Rate
from kadeploy.boot.clients import BootClients
from kadeploy.boot.tftp_link import TftpClients, parse_parent
from kadeploy.boot.tftp_parent import Parent
from kadeploy.boot.tftp_server import TftpServer

MAX_SESSIONS = 480  # beyond that each is slower than firmware is patient
# Requests of one address, of strangers of one prefix, of all strangers. Firmware sends some ten for a boot.
EACH, GROUP, STRANGERS = Rate(100, 10), Rate(60, 20), Rate(120, 40)
# Room for requests that come while others are answered: 1000 of them, where the kernel allows it.
_REQUEST_BUFFER = 1024 * 1024
_SO_RCVBUFFORCE = 33  # of Linux's asm-generic/socket.h; Python does not name it


def main(arguments: list[str]) -> int:
    """Serve until the parent is gone; status 1 and a line on stderr where the port cannot be had."""
    repository, directory, address, port = Path(arguments[0]), arguments[1], arguments[2], int(arguments[3])
    told = parse_parent(sys.stdin.readline())
    if not isinstance(told, TftpClients):  # the parent is gone
        return 1
    clients = BootClients(told.known, told.booting)
    parent = Parent(repository, directory, clients)
    threading.Thread(target=parent.listen, daemon=True).start()
    sessions = min(MAX_SESSIONS, open_files() // 2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address, port))
        except OSError as error:
            print(error.strerror, file=sys.stderr)  # noqa: T201
            return 1
        _enlarge(sock)
        server = TftpServer(
            sock,
            repository,
            parent,
            Admission(sessions, TFTP_EACH, TFTP_PREFIX, clients),
            Allowances(clients, each=EACH, group=GROUP, all_strangers=STRANGERS),
        )
        parent.ready()
        server.serve()
    return 0


def _enlarge(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _REQUEST_BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _REQUEST_BUFFER)  # up to net.core.rmem_max


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
