# SPDX-License-Identifier: Apache-2.0
"""Forwarder: feeds one successor until it and all behind it are complete; the head and every relay use it.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Protocol

from kadeploy.broadcast.node.handshake import FEED, Greeting, connect
from kadeploy.broadcast.node.pace import Pace
from kadeploy.broadcast.node.peer_connection import PeerConnection
from kadeploy.broadcast.node.wire import (
    ACK,
    COMPLETE,
    HELD,
    OFFSET,
    OVERWRITTEN,
    PING,
    REFUSED,
    RETRACT,
    PeerLost,
    shut,
    spawn,
)

SIGNS_OF_LIFE = (ACK, HELD)


class RelaySkipped(Exception):
    """Refusal of a successor that has a feeder nearer to the head: this relay was skipped."""


class PeerLeft(Exception):
    """Refusal of a successor that was ordered to leave the chain."""


class PeerSlow(Exception):
    """Loss of a successor that receives less than this node could send to another."""


class Source(Protocol):
    """Source of the stream for a forwarder: the ring of a relay, or the file of the head."""

    idle_seconds: float  # total of the seconds in which there was nothing to send

    @property
    def available(self) -> int:
        """End of the data that can be sent now, as an offset; the end of the stream where no more data can
        come in before these have been sent."""

    @property
    def between_frames(self) -> bool:
        """True when a frame other than data may be sent now."""

    def seek(self, offset: int) -> int:
        """Go to `offset`, or to the first boundary after it that is still held, or back to the end of the
        data that were not retracted; returns the new offset."""

    def transmit(self, sock: socket.socket, timeout: float) -> bool:
        """Send available data; False when there was nothing within `timeout` seconds. Raises Retracted."""

    def wake(self) -> None:
        """End a wait of `transmit`."""

    def release(self) -> None:
        """Hold no data any more: there is no successor left."""


class Forwarder:
    """Connection to one successor. `measure_other(rate)` measures the bytes per second at which this node
    could send to another node, 0 where there is none; it is exact if it is beyond `rate`."""

    def __init__(
        self,
        source: Source,
        secret: bytes,
        greeting: Greeting,
        silence: float,
        measure_other: Callable[[float], float],
    ) -> None:
        assert greeting.role == FEED
        self._source = source
        self._secret = secret
        self._greeting = greeting
        self._silence = silence
        self._pace = Pace(measure_other)
        self._connection: PeerConnection | None = None
        self._failure: Exception | None = None
        self._complete = threading.Event()
        self._stopped = False

    def stop(self) -> None:
        """End `feed` soon, without waiting for it."""
        self._stopped = True
        self._source.wake()
        if self._connection:
            shut(self._connection.sock)

    def feed(self, peer: tuple[str, int]) -> None:
        """Feed `peer` until it and all behind it are complete. Raises PeerLost, PeerLeft, PeerSlow,
        Superseded, or Retracted when it has to be called again."""
        connection = self._connection = connect(peer, self._secret, self._greeting, self._silence)
        listener: threading.Thread | None = None
        try:
            self._begin(connection)
            listener = spawn(self._read_signs_of_life, connection)
            self._send(connection)
        except OSError as error:
            raise self._failure or PeerLost(f"connection lost: {error.strerror}") from error
        finally:
            shut(connection.sock)
            if listener is not None:
                listener.join()
            connection.close()

    def _begin(self, connection: PeerConnection) -> None:
        kind, wanted = connection.receive()
        if kind == REFUSED:
            raise PeerLeft if wanted else RelaySkipped
        if kind != OFFSET:
            raise PeerLost("sent an impossible frame")
        begin = self._source.seek(wanted)
        if begin != wanted:
            connection.send(OVERWRITTEN if begin > wanted else RETRACT, begin)

    def _send(self, connection: PeerConnection) -> None:
        interval = self._silence / 5
        sent_at = time.monotonic()
        while not self._complete.is_set():
            if self._failure or self._stopped:
                raise self._failure or PeerLost("stopped")
            if self._source.transmit(connection.sock, interval):
                sent_at = time.monotonic()
            elif time.monotonic() - sent_at >= interval and self._source.between_frames:
                connection.send(PING, 0)
                sent_at = time.monotonic()

    def _read_signs_of_life(self, connection: PeerConnection) -> None:
        """Read signs of life. The silence of a successor that hangs or is cut off shows long before TCP gives
        up."""
        try:
            while not self._complete.is_set():
                self._note_sign(*connection.receive())
        except (PeerLost, PeerSlow) as failure:
            self._failure = failure
            shut(connection.sock)
        self._source.wake()

    def _note_sign(self, kind: int, number: int) -> None:
        if kind == COMPLETE:
            self._complete.set()
        elif kind not in SIGNS_OF_LIFE:
            raise PeerLost("sent an impossible frame")
        elif reason := self._pace.note(
            number, kind == ACK, self._source.idle_seconds, self._source.available
        ):
            raise PeerSlow(reason)
