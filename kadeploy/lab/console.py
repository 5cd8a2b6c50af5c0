# SPDX-License-Identifier: Apache-2.0
"""Serial console of a machine: its record, and a terminal attached to it."""

from __future__ import annotations

import os
import select
import socket
import sys
import termios
import tty
from pathlib import Path

from kadeploy.errors import RefusedError
from kadeploy.lab.plan import NodePlan
from kadeploy.masking import MaskedStream, masked
from kadeploy.terminal import printable

ESCAPE = b"\x1d"  # Ctrl-], as telnet and virsh have it
TAIL_BYTES = 4096


def last_line(record: Path) -> str:
    """Last line of the record that is not empty, without control characters; a tab becomes a blank."""
    with record.open("rb") as file:
        file.seek(max(0, record.stat().st_size - TAIL_BYTES))
        text = masked(file.read().decode(errors="replace")).replace("\r", "\n")
    lines = (line.strip() for line in printable(text).replace("\t", " ").split("\n"))
    return next((line for line in reversed(list(lines)) if line), "")


def print_record(node: NodePlan) -> None:
    """Print the record of the console."""
    stream = MaskedStream()
    with node.console.open("rb") as record:
        while piece := record.read(65536):
            sys.stdout.buffer.write(stream.feed(piece))


def attach(node: NodePlan) -> None:
    """Connect this terminal to the console until Ctrl-] or the machine's end.

    Raises RefusedError where the machine is off.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(node.file("console.sock")))
        except (FileNotFoundError, ConnectionRefusedError):
            raise RefusedError(
                f"{node.name} is off: its console cannot be attached",
                hint=f"`show_console` {node.name} shows what was recorded",
            ) from None
        source = sys.stdin.fileno()
        if not os.isatty(source):
            _relay(connection, source)
            return
        before = termios.tcgetattr(source)
        try:
            tty.setraw(source)
            _relay(connection, source)
        finally:
            termios.tcsetattr(source, termios.TCSADRAIN, before)


def _relay(connection: socket.socket, source: int) -> None:
    watched: list[int] = [connection.fileno(), source]
    stream = MaskedStream()
    while True:
        ready, _, _ = select.select(watched, [], [])
        if connection.fileno() in ready:
            data = connection.recv(65536)
            if not data:
                return
            os.write(sys.stdout.fileno(), stream.feed(data))
        if source in ready:
            typed = os.read(source, 4096)
            if not typed:
                watched.remove(source)  # input was a file: continue to print the console
            before, escape, _ = typed.partition(ESCAPE)
            connection.sendall(before)
            if escape:
                return
