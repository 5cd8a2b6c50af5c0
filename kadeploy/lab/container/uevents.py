# SPDX-License-Identifier: Apache-2.0
"""Events of the kernel when a partition of a node's disk is added or removed, without those of other disks.

The kernel sends the events of all devices to every listener. With hundreds of nodes each would wake up for
the partitions of all, so a filter in the kernel accepts only messages that begin as those of this disk.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct

_KOBJECT_UEVENT = 15  # linux/netlink.h
_SO_ATTACH_FILTER = 26
_LOAD_WORD, _LOAD_BYTE, _EQUAL, _RETURN = 0x20, 0x30, 0x15, 0x06  # linux/filter.h: BPF_LD…|BPF_ABS, …
_ALL, _NOTHING = 0xFFFFFFFF, 0
# Messages begin with ACTION@DEVPATH (lib/kobject_uevent.c).
_ACTIONS = (b"add@", b"remove@")


class Uevents:
    """Events below ``path`` (as /devices/virtual/block/loop0/); ``descriptor`` is readable for each."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, _KOBJECT_UEVENT
        )
        program = b"".join(_accept(action + path.encode()) for action in _ACTIONS) + _instruction(
            _RETURN, _NOTHING
        )
        buffer = ctypes.create_string_buffer(program)
        count = len(program) // 8
        self._socket.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HxxxxxxP", count, ctypes.addressof(buffer))
        )
        self._socket.bind((0, 1))  # the group of the kernel's own events

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    @property
    def descriptor(self) -> int:
        return self._socket.fileno()

    def read_pending(self) -> bool:
        """Read all pending messages; True if there was one."""
        found = False
        try:
            while True:
                os.read(self._socket.fileno(), 8192)
                found = True
        except BlockingIOError:
            return found


def _accept(prefix: bytes) -> bytes:
    """Instructions that accept a message with this beginning, and jump behind themselves for others."""
    words = len(prefix) // 4
    tests = [(_LOAD_WORD, 4 * i, int.from_bytes(prefix[4 * i : 4 * i + 4], "big")) for i in range(words)]
    tests += [(_LOAD_BYTE, i, prefix[i]) for i in range(4 * words, len(prefix))]
    left = 2 * len(tests)
    program = b""
    for load, offset, value in tests:
        left -= 2
        program += _instruction(load, offset) + _instruction(_EQUAL, value, otherwise=left + 1)
    return program + _instruction(_RETURN, _ALL)


def _instruction(code: int, value: int, otherwise: int = 0) -> bytes:
    return struct.pack("HBBI", code, 0, otherwise, value)
