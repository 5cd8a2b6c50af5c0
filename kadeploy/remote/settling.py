# SPDX-License-Identifier: Apache-2.0
"""Settling of a system: the proof that one whose host key has answered goes on answering, in the same boot.

Nothing can be asked of a system into which nobody logs in, not even how long it runs. But no TCP connection
outlives the boot in which it was opened. So one is held before anything is said on it, and only then the host
key is asked for on it: the answer proves that the machine has not restarted meanwhile. Another connection,
opened by then, proves that the server still takes connections, for a server that has ended leaves those that
it had begun to serve. Both cost one key exchange.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

import asyncssh

from kadeploy.remote import handshake
from kadeploy.remote.algorithms import signatures_of_keys
from kadeploy.remote.hostkey import EXCHANGE_TIMEOUT, Slot
from kadeploy.time_limit import time_limit

# Seconds that one connection is held: a server ends those that do not log in, sshd after 120 s
# (LoginGraceTime), others sooner. The next one is opened before, so that no restart falls between them.
HOLD_TIME = 5.0
CONNECT_TIMEOUT = 5.0  # seconds, in which the kernel asks again for a lost SYN


class Unsettled(Exception):
    """Failure of a system to go on answering, with the reason."""


async def settle(address: str, port: int, key: str, seconds: float, slot: Slot) -> None:
    """Wait ``seconds``, in which an sshd with this host key (a public key line) must stay; raises Unsettled.

    Each connection and exchange is in a ``slot``; none is taken while a connection is only held.
    """
    wanted = asyncssh.import_public_key(key)
    left = seconds
    held = await _connect(address, port, slot)
    try:
        while left > 0:
            await asyncio.sleep(min(left, HOLD_TIME))
            left -= HOLD_TIME
            following = await _connect(address, port, slot)
            with contextlib.closing(held):
                held, former = following, held
                await _exchange(former, wanted, slot)
        await _exchange(held, wanted, slot)
    finally:
        held.close()


async def _connect(address: str, port: int, slot: Slot) -> socket.socket:
    try:
        async with slot(), time_limit(CONNECT_TIMEOUT):
            return await handshake.connect(address, port)
    except (OSError, TimeoutError) as error:
        raise Unsettled(f"port {port} took no connection any more ({_reason(error)})") from error


async def _exchange(connection: socket.socket, wanted: asyncssh.SSHKey, slot: Slot) -> None:
    """Let the server prove on a connection that it holds a key; the connection is closed."""
    try:
        async with slot(), time_limit(EXCHANGE_TIMEOUT):
            key = (await handshake.identify(connection, signatures_of_keys([wanted]))).key
    except asyncssh.KeyExchangeFailed:  # it has no key of this type
        key = ""
    except (OSError, asyncssh.Error, TimeoutError) as error:
        raise Unsettled(f"a connection to it did not last ({_reason(error)})") from error
    if key != handshake.key_line(wanted):
        raise Unsettled("another host key answered")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
