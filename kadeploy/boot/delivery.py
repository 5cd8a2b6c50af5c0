# SPDX-License-Identifier: Apache-2.0
"""Delivery of an answer over TCP: whether the other machine has got all of it.

What a program has written is only in the kernel's buffers. The kernel knows what the other side has
confirmed, and a machine that goes away before it has read everything resets the connection.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import socket
import termios
from types import TracebackType
from typing import Self

GRACE = 0.1  # seconds after the last byte was confirmed, in which a reset shows that it was not read
TIMEOUT = 30.0  # seconds until an answer that is not confirmed is given up
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05

_CLOSED, _CLOSE_WAIT = 7, 8  # tcp_states.h: reset; the other side has ended the connection well


class DeliveryWatch:
    """Watch over a connection from before the answer is written until it is closed on this side.

    Has a descriptor of its own, for asyncio closes the connection as soon as the other side does.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        descriptor = transport.get_extra_info("socket").fileno()
        self._socket = socket.socket(fileno=os.dup(descriptor))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    async def succeeds(self) -> bool:
        """True once the other side has confirmed every byte and has not reset the connection behind them."""
        clock = asyncio.get_running_loop().time
        end, pause, confirmed = clock() + TIMEOUT, _FIRST_PAUSE, 0.0
        while clock() < end:
            state = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
            if state == _CLOSED:
                return False
            if not self._unconfirmed():
                confirmed = confirmed or clock()
                if state == _CLOSE_WAIT or clock() - confirmed >= GRACE:
                    return True
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return False

    def _unconfirmed(self) -> int:
        """Number of bytes that were written and that the other side has not confirmed."""
        count = array.array("i", [0])
        fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, count)
        return count[0] + self._transport.get_write_buffer_size()
