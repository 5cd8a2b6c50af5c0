# SPDX-License-Identifier: Apache-2.0
"""QEMU's machine protocol, as far as a lab uses it; standard library only, quick to import."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

TIMEOUT = 5.0  # seconds for an answer
START = 3.0  # seconds within which a machine that was just started opens its socket


class QmpError(Exception):
    """Refusal of a command, or a machine that does not answer."""


class Qmp:
    """Connection to a machine's monitor; ``with Qmp(path) as qmp``. Raises QmpError."""

    def __init__(self, path: str) -> None:
        self._socket = _connect(path)
        self._file = self._socket.makefile("rwb")
        self._read()  # the greeting
        self.execute("qmp_capabilities")

    def __enter__(self) -> Qmp:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def execute(self, command: str, **arguments: Any) -> Any:
        """Run a command, and return its answer."""
        request = {"execute": command, "arguments": arguments}
        try:
            self._file.write(json.dumps(request).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise QmpError(f"{command}: {error}") from error
        while True:
            answer = self._read()
            if "error" in answer:
                raise QmpError(f"{command}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]

    def _read(self) -> dict[str, Any]:
        try:
            line = self._file.readline()
        except OSError as error:
            raise QmpError(f"no answer: {error}") from error
        if not line:
            raise QmpError("the machine closed the connection")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _connect(path: str) -> socket.socket:
    deadline = time.monotonic() + START
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(TIMEOUT)
        try:
            connection.connect(path)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            connection.close()
            if time.monotonic() > deadline:
                raise QmpError(f"{path}: {error.strerror}") from error
            time.sleep(0.02)
        else:
            return connection
