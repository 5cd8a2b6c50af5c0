# SPDX-License-Identifier: Apache-2.0
"""Relay, the program that a node runs during a broadcast: receive, verify, forward, consume, report.

Each of these is a thread that goes through the ring at its own pace. With the head, over standard input and
output, a line each. In come ``Settings``, then orders: ``feed`` names the lane this node is in from now on,
``leave`` takes it out of its lane until the next one. Out go ``listening``, then ``progress``, ``skipped``,
``slow`` and ``damaged``, and at last one result, ``done`` or ``failed``. The end of standard input means:
stop now and leave nothing running.

Runs on nodes: only modules of Debian's python3-minimal, which has no json. The head sends JSON of strings,
numbers, lists and maps, which is a Python literal too; ``encode`` writes what goes back.
"""

from __future__ import annotations

import ast
import os
import signal
import socket
import sys
import threading
import time
from typing import NamedTuple, NoReturn

from kadeploy.broadcast.node.consumer import Consumer
from kadeploy.broadcast.node.feeders import Feeders, NoFeeder
from kadeploy.broadcast.node.lane import Lane
from kadeploy.broadcast.node.listener import Listener
from kadeploy.broadcast.node.receiver import Receiver
from kadeploy.broadcast.node.ring import Cursor, Ring
from kadeploy.broadcast.node.source import RingSource
from kadeploy.broadcast.node.succession import Succession
from kadeploy.broadcast.node.wire import ACK, COMPLETE, FEED, FETCH, HELD, Greeting, spawn

PROGRESS_INTERVAL = 0.5
STILL_ALIVE_INTERVAL = 1.0


class Settings(NamedTuple):
    """Settings that a relay is sent first: seconds, bytes; `consumer` is a pipeline of argument lists or a
    path."""

    secret: str
    address: str
    head: tuple[str, int]
    size: int
    chunk: int
    consumer: list[list[str]] | str
    window: int
    silence: float
    patience: float


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
        self._speech = threading.Lock()
        self._news = threading.Event()
        self._ring = Ring(settings.window, settings.size, settings.chunk)
        self._consume = Cursor(self._ring, self._ring.proven)
        # Until it is known who comes after this node:
        self._kept: Cursor | None = Cursor(self._ring, self._ring.filled)
        self._succession: Succession | None = None
        self._held = False  # by its own consumer
        self._feeders = Feeders(self._ring, settings.patience)
        self._receiver = Receiver(
            self._ring, self._feeders, self._secret, settings.silence, settings.patience, self._accuse
        )
        self._listener = Listener(settings.address, self._secret, settings.silence, self._welcome)
        self._consumer = Consumer(settings.consumer)
        threading.excepthook = lambda trouble: self.fail(f"relay: {trouble.exc_value!r}")

    def run(self) -> None:
        """Run until the head closes standard input, which ends the process; a failure ends it before."""
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda *_: self.leave(3))
        # A predecessor may be told of the lane, and connect, before this relay is.
        spawn(self._listener.run)
        self.emit({"event": "listening", "port": self._listener.port})
        for work in (self._receive, self._receiver.verify, self._beat, self._conclude, self._report):
            spawn(work)
        while line := sys.stdin.buffer.readline():
            order, *arguments = ast.literal_eval(line.decode())
            if order == "feed":
                self._join(Lane(*arguments))
            else:
                self._feeders.leave(*arguments)
        self.leave(3)

    def emit(self, event: dict[str, object]) -> None:
        line = (encode(event) + "\n").encode(errors="replace")
        try:
            with self._speech:
                os.write(1, line)
        except OSError:
            self.leave(3)  # nobody listens any more

    def fail(self, reason: str, evidence: str = "") -> NoReturn:
        self.emit({"event": "failed", "reason": reason, "evidence": evidence, **self._figures()})
        self.leave(1)

    def leave(self, status: int) -> NoReturn:
        """End the process at once, whatever its threads are blocked in, and with the consumer."""
        self._consumer.kill()
        os._exit(status)

    def _join(self, lane: Lane) -> None:
        """Feed those that come after this node in `lane` from now on, and no others."""
        before, kept = self._succession, self._kept

        def source() -> RingSource:
            return RingSource(self._ring, kept.offset if kept else self._ring.oldest())

        settings = self._settings

        def on_skipped() -> None:
            # Those below this node are fed by others now. The next feeder of this node has to feed them.
            self._feeders.leave(lane.number)

        after = Succession(
            lane, self._secret, settings.silence, settings.patience, source, self._report_loss, on_skipped
        )
        self._feeders.expect(lane.number, len(lane.peers))
        self._succession = after
        if before:
            before.stop()
        if kept:
            kept.release()
            self._kept = None
        spawn(after.run)
        spawn(self._watch, after)

    def _watch(self, succession: Succession) -> None:
        succession.finished.wait()
        self._news.set()

    def _welcome(self, sock: socket.socket, greeting: Greeting) -> None:
        if greeting.role == FEED:
            self._feeders.offer(sock, greeting)
        else:
            sock.close()

    def _receive(self) -> None:
        try:
            self._receiver.run(self._settings.head)
        except NoFeeder as error:
            self.fail(str(error))

    def _report_loss(self, event: str, lane: int, node: str, reason: str) -> None:
        self.emit({"event": event, "lane": lane, "node": node, "reason": reason})

    def _accuse(self, feeder: Greeting, offset: int) -> None:
        rank = 0 if feeder.role == FETCH else feeder.rank
        self.emit({"event": "damaged", "lane": max(feeder.lane, 0), "rank": rank, "offset": offset})

    def _beat(self) -> None:
        while True:
            self._feeders.acknowledge(self._sign_of_life())
            self._news.wait(self._settings.silence / 5)
            self._news.clear()

    def _sign_of_life(self) -> int:
        if self._complete():
            return COMPLETE
        holder = self._ring.take_holder()
        self._held = holder is self._consume
        return HELD if holder else ACK

    def _complete(self) -> bool:
        """True when this node and all behind it have everything."""
        behind = self._succession
        if behind is None or behind.was_skipped or not behind.finished.is_set():
            return False
        return self._ring.verified == self._ring.size

    def _report(self) -> None:
        report_loss, when = -1, 0.0
        while True:
            if self._ring.verified != report_loss or time.monotonic() - when >= STILL_ALIVE_INTERVAL:
                report_loss, when = self._ring.verified, time.monotonic()
                self.emit({"event": "progress", **self._figures()})
            time.sleep(PROGRESS_INTERVAL)

    def _conclude(self) -> None:
        self._consumer.consume(self._consume)
        while self._ring.verified < self._ring.size:
            with self._ring.proven:
                self._ring.proven.wait(1.0)  # a consumer that failed early; others still need the stream
        self._news.set()
        result = {"sha256": self._receiver.sha256, **self._figures()}
        if reason := self._consumer.reason:
            self.emit({"event": "failed", "reason": reason, "evidence": self._consumer.evidence, **result})
        else:
            self.emit({"event": "done", **result})

    def _figures(self) -> dict[str, object]:
        feeder = self._feeders.last
        return {
            "consumed": self._consume.offset,
            "bytes": self._ring.verified,  # after what it can only exceed
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
        os.write(1, (encode({"event": "failed", "reason": reason, "evidence": ""}) + "\n").encode())
        os._exit(1)
    relay.run()
