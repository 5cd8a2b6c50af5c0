# SPDX-License-Identifier: Apache-2.0
"""Relay, the program that a node runs during a broadcast: receive, verify, forward, consume, report.

Each of these is a thread that reads the ring at its own rate. The head and the relay exchange lines over
standard input and output. The relay receives ``Settings``, then orders: ``feed`` names the lane that this
node is in from now on, ``leave`` removes it from its lane until the next ``feed``, ``roots`` are those of the
next sections. It sends ``listening``,
then ``progress``, ``skipped``, ``slow`` and ``damaged``, and at last one result, ``done`` or ``failed``. At
the end of standard input it stops at once, and leaves nothing running.

Runs on nodes: only modules of Debian's python3-minimal, which has no json. The head sends JSON of strings,
numbers, lists and maps, which is a Python literal too; ``encode`` writes the reports.
"""

from __future__ import annotations

import ast
import os
import signal
import sys
import threading
import time
from typing import NamedTuple, NoReturn

from kadeploy.broadcast.node.consumer import Consumer
from kadeploy.broadcast.node.feeders import Feeders, NoFeeder
from kadeploy.broadcast.node.handshake import FEED, FETCH, Greeting
from kadeploy.broadcast.node.lane import Lane
from kadeploy.broadcast.node.listener import Listener
from kadeploy.broadcast.node.peer_connection import PeerConnection
from kadeploy.broadcast.node.receiver import Receiver
from kadeploy.broadcast.node.ring import Cursor, Ring
from kadeploy.broadcast.node.roots import Roots
from kadeploy.broadcast.node.source import RingSource
from kadeploy.broadcast.node.succession import Succession
from kadeploy.broadcast.node.wire import ACK, COMPLETE, HELD, spawn

PROGRESS_INTERVAL = 0.5
STILL_ALIVE_INTERVAL = 1.0


class Settings(NamedTuple):
    """Settings, the first line that a relay receives; seconds, bytes. `consumer` is a pipeline of argument
    lists or a path; `section` is counted in chunks; `roots` are those known already, in hexadecimal."""

    secret: str
    address: str
    head: tuple[str, int]
    size: int
    chunk: int
    consumer: list[list[str]] | str
    window: int
    silence: float
    patience: float
    section: int
    roots: list[str]


def encode(value: object) -> str:
    """Encode strings, integers, lists and maps as JSON."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{encode(key)}:{encode(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(encode(item) for item in value) + "]"
    if isinstance(value, str):
        return '"' + "".join(c if c.isprintable() and c not in '"\\' else escape(c) for c in value) + '"'
    return str(value)


def escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0xD800 else "?"


class Relay:
    """Relay of one node: its threads, for as long as the process lives."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._secret = bytes.fromhex(settings.secret)
        self._output_lock = threading.Lock()
        self._changed = threading.Event()
        self._ring = Ring(settings.window, settings.size, settings.chunk)
        self._consumer_cursor = Cursor(self._ring, self._ring.consumable)
        # Holds the stream until the first order says which nodes this one feeds.
        self._initial_cursor: Cursor | None = Cursor(self._ring, self._ring.filled)
        self._succession: Succession | None = None
        self._held = False  # True while this node's own consumer blocks the ring
        self._feeders = Feeders(self._ring, settings.patience)
        roots = Roots(settings.size, settings.chunk, settings.section, settings.roots)
        self._receiver = Receiver(
            self._ring,
            roots,
            self._feeders,
            self._secret,
            settings.silence,
            settings.patience,
            self._complain,
        )
        self._listener = Listener(settings.address, self._secret, settings.silence, self._accept_peer)
        self._consumer = Consumer(settings.consumer)
        threading.excepthook = lambda trouble: self.fail(f"relay: {trouble.exc_value!r}")

    def run(self) -> None:
        """Run until the head closes standard input, which ends the process; a failure ends it before."""
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda *_: self.exit(3))
        # A feeder may be ordered into the lane, and connect, before this relay has its order.
        spawn(self._listener.run)
        self.emit({"kind": "listening", "port": self._listener.port})
        for work in (
            self._receive,
            self._receiver.verify,
            self._send_signs_of_life,
            self._run_consumer,
            self._report_progress,
        ):
            spawn(work)
        while line := sys.stdin.buffer.readline():
            order, *arguments = ast.literal_eval(line.decode())
            if order == "feed":
                self._enter_lane(Lane(*arguments))
            elif order == "roots":
                self._receiver.note_roots(*arguments)
            else:
                self._feeders.leave(*arguments)
        self.exit(3)

    def emit(self, report: dict[str, object]) -> None:
        line = (encode(report) + "\n").encode(errors="replace")
        try:
            with self._output_lock:
                os.write(1, line)
        except OSError:
            self.exit(3)  # the head does not read any more

    def fail(self, reason: str, evidence: str = "") -> NoReturn:
        self.emit({"kind": "failed", "reason": reason, "evidence": evidence, **self._progress()})
        self.exit(1)

    def exit(self, status: int) -> NoReturn:
        """End the consumer and this process at once, whatever its threads are blocked in."""
        self._consumer.kill()
        os._exit(status)

    def _enter_lane(self, lane: Lane) -> None:
        """Feed the nodes below this one in `lane` from now on, and no others."""
        former, initial_cursor = self._succession, self._initial_cursor

        def source() -> RingSource:
            return RingSource(self._ring, initial_cursor.offset if initial_cursor else self._ring.oldest())

        settings = self._settings

        def on_skipped() -> None:
            # Those below this node are fed by others now. The next feeder of this node has to feed them.
            self._feeders.leave(lane.number)

        succession = Succession(
            lane, self._secret, settings.silence, settings.patience, source, self._report_loss, on_skipped
        )
        self._feeders.expect(lane.number, len(lane.peers))
        self._succession = succession
        if former:
            former.stop()
        if initial_cursor:
            initial_cursor.release()
            self._initial_cursor = None
        spawn(succession.run)
        spawn(self._await_end, succession)

    def _await_end(self, succession: Succession) -> None:
        succession.finished.wait()
        self._changed.set()

    def _accept_peer(self, connection: PeerConnection, greeting: Greeting) -> None:
        if greeting.role == FEED:
            self._feeders.offer(connection, greeting)
        else:
            connection.close()

    def _receive(self) -> None:
        try:
            self._receiver.run(self._settings.head)
        except NoFeeder as error:
            self.fail(str(error))

    def _report_loss(self, kind: str, lane: int, node: str, reason: str) -> None:
        self.emit({"kind": kind, "lane": lane, "node": node, "reason": reason})

    def _complain(self, feeder: Greeting, offset: int) -> None:
        rank = 0 if feeder.role == FETCH else feeder.rank
        self.emit({"kind": "damaged", "lane": max(feeder.lane, 0), "rank": rank, "offset": offset})

    def _send_signs_of_life(self) -> None:
        while True:
            self._feeders.acknowledge(self._sign_of_life())
            self._changed.wait(self._settings.silence / 5)
            self._changed.clear()

    def _sign_of_life(self) -> int:
        if self._is_complete():
            return COMPLETE
        blocker = self._ring.take_blocker()
        self._held = blocker is self._consumer_cursor
        return HELD if blocker else ACK

    def _is_complete(self) -> bool:
        """True when this node and all below it have the whole stream."""
        succession = self._succession
        if succession is None or succession.was_skipped or not succession.finished.is_set():
            return False
        return self._ring.verified == self._ring.size

    def _report_progress(self) -> None:
        reported, reported_at = -1, 0.0
        while True:
            if self._ring.verified != reported or time.monotonic() - reported_at >= STILL_ALIVE_INTERVAL:
                reported, reported_at = self._ring.verified, time.monotonic()
                self.emit({"kind": "progress", **self._progress()})
            time.sleep(PROGRESS_INTERVAL)

    def _run_consumer(self) -> None:
        self._consumer.consume(self._consumer_cursor)
        while self._ring.verified < self._ring.size:
            with self._ring.consumable:
                self._ring.consumable.wait(1.0)  # a consumer that failed early; others still need the stream
        self._changed.set()
        result = {"sha256": self._receiver.sha256, **self._progress()}
        if reason := self._consumer.reason:
            self.emit({"kind": "failed", "reason": reason, "evidence": self._consumer.evidence, **result})
        else:
            self.emit({"kind": "done", **result})

    def _progress(self) -> dict[str, object]:
        feeder = self._feeders.last
        return {
            "consumed": self._consumer_cursor.offset,
            "bytes": self._ring.verified,  # read last, so that it is never less than what was consumed
            "lane": max(feeder.lane, 0),
            "feeder": feeder.rank,
            "fed": int(self._feeders.is_fed),
            "held": int(self._held),
        }


def main() -> None:
    line = sys.stdin.buffer.readline()
    try:
        relay = Relay(Settings(**ast.literal_eval(line.decode())))
    except OSError as error:
        reason = f"cannot start: {error.strerror}: {error.filename or 'listening'}"
        os.write(1, (encode({"kind": "failed", "reason": reason, "evidence": ""}) + "\n").encode())
        os._exit(1)
    relay.run()
