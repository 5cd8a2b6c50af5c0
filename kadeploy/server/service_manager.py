# SPDX-License-Identifier: Apache-2.0
"""Service manager: what systemd is told of this process, and the sockets that it hands over.

Its protocol is a datagram to the socket of NOTIFY_SOCKET, see sd_notify(3) and sd_listen_fds(3).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

FIRST_DESCRIPTOR = 3  # of those that are handed over


class ServiceManager:
    """Service manager of this process; without one nobody is told, and nothing is handed over."""

    def __init__(self, variables: Mapping[str, str] = os.environ) -> None:
        self._address = variables.get("NOTIFY_SOCKET", "")
        self._variables = variables

    @property
    def watchdog_seconds(self) -> float | None:
        """Seconds in which a sign of life must come, None for never."""
        if not self._is_ours("WATCHDOG_PID"):
            return None
        microseconds = self._variables.get("WATCHDOG_USEC", "")
        return int(microseconds) / 1e6 if microseconds.isdecimal() and int(microseconds) else None

    def sockets(self) -> list[socket.socket]:
        """Sockets that listen already, in their order."""
        count = self._variables.get("LISTEN_FDS", "")
        if not count.isdecimal() or self._variables.get("LISTEN_PID") != str(os.getpid()):
            return []
        numbers = range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count))
        found = [socket.socket(fileno=number) for number in numbers]
        for one in found:
            one.set_inheritable(False)
        return found

    def ready(self) -> None:
        """Tell that the service is ready."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """Tell that the configuration is read again, until ``ready``."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        """Tell that the service ends."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """Give a sign of life."""
        self._tell("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Tell in one line what the service does."""
        self._tell(f"STATUS={text}")

    def _is_ours(self, variable: str) -> bool:
        return self._variables.get(variable, str(os.getpid())) == str(os.getpid())

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.connect(address)
            connection.send("\n".join(lines).encode())
