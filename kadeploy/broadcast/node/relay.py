# SPDX-License-Identifier: Apache-2.0
"""The program a node runs during a broadcast: receive, forward, hash, consume, report.

Each of the four is a thread that goes through the ring at its own pace. With the head, over standard input
and output, a line each: ``Settings`` come in; ``listening`` goes out; ``Chain`` comes in once all listen;
then ``progress`` and ``skipped`` and at last one verdict, ``done`` or ``failed``, go out. The end of standard
input means: stop now and leave nothing running.

Runs on nodes: only modules of Debian's python3-minimal, which has no json. The head sends JSON of strings,
numbers, lists and maps, which is a Python literal too; ``encode`` writes what goes back.
"""

from __future__ import annotations

import ast
import hashlib
import os
import signal
import socket
import sys
import threading
import time
from typing import NamedTuple, NoReturn

from kadeploy.broadcast.node.consumer import Consumer
from kadeploy.broadcast.node.forwarder import Forwarder
from kadeploy.broadcast.node.receiver import Abandoned, Receiver
from kadeploy.broadcast.node.ring import Ring
from kadeploy.broadcast.node.wire import ACK, COMPLETE, FEED, Listener, spawn

PROGRESS_INTERVAL = 0.5
STILL_ALIVE_INTERVAL = 2.0
LINGER = 2.0  # seconds for the last COMPLETE to reach the predecessor before the relay leaves


class Settings(NamedTuple):
    """What a relay is told first: seconds, bytes; `consumer` is a pipeline of argument lists or a path."""

    secret: str
    address: str
    head: tuple[str, int]
    size: int
    consumer: list[list[str]] | str
    window: int
    silence: float
    patience: float


class Chain(NamedTuple):
    """What a relay is told once all of them listen: its rank (the head is 0) and who comes after it."""

    rank: int
    successors: list[tuple[str, str, int]]


def encode(value: object) -> str:
    """JSON of strings, integers, lists and maps."""
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
    """Lives as long as the process."""

    def __init__(self, settings: Settings) -> None:
        self._speech = threading.Lock()
        self._news = threading.Event()
        self._skipped: list[str] = []
        self._silence, self._head = settings.silence, settings.head
        self._ring = Ring(settings.window, settings.size)
        self._forward, self._hash, self._consume = (self._ring.cursor() for _ in range(3))
        secret = bytes.fromhex(settings.secret)
        self._receiver = Receiver(self._ring, secret, settings.silence, settings.patience)
        self._forwarder = Forwarder(self._forward, secret, settings.silence, self._skip)
        self._listener = Listener(settings.address, secret, settings.silence, self._welcome)
        self._consumer = Consumer(settings.consumer)
        threading.excepthook = lambda trouble: self.fail(f"relay: {trouble.exc_value!r}")

    def run(self) -> None:
        """Until the head closes standard input, or the work is done, which ends the process."""
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda *_: self.leave(3))
        # A predecessor may be told of the chain, and connect, before this relay is.
        spawn(self._listener.run)
        spawn(self._receive)
        spawn(self._beat)
        self.emit({"event": "listening", "port": self._listener.port})
        if line := sys.stdin.buffer.readline():
            self._begin(Chain(**ast.literal_eval(line.decode())))
        while sys.stdin.buffer.readline():
            pass
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
        """At once, whatever the threads are blocked in, and with the consumer."""
        self._consumer.kill()
        os._exit(status)

    def _begin(self, chain: Chain) -> None:
        self._receiver.expect()
        spawn(self._send, chain)
        spawn(self._report)
        spawn(self._conclude)

    def _welcome(self, sock: socket.socket, greeting: tuple[int, int, int]) -> None:
        role, rank, _ = greeting
        if role == FEED:
            self._receiver.offer(sock, rank)
        else:
            sock.close()

    def _receive(self) -> None:
        try:
            self._receiver.run(self._head)
        except Abandoned as abandoned:
            self.fail(str(abandoned))

    def _send(self, chain: Chain) -> None:
        self._forwarder.run(chain.rank, chain.successors)
        self._news.set()

    def _skip(self, name: str, reason: str) -> None:
        self._skipped.append(name)
        self.emit({"event": "skipped", "node": name, "reason": reason})

    def _beat(self) -> None:
        while True:
            self._receiver.acknowledge(COMPLETE if self._complete() else ACK)
            self._news.wait(self._silence / 5)
            self._news.clear()

    def _complete(self) -> bool:
        return self._forwarder.finished.is_set() and self._ring.end == self._ring.size

    def _report(self) -> None:
        told, when = -1, 0.0
        while True:
            if self._ring.end != told or time.monotonic() - when >= STILL_ALIVE_INTERVAL:
                told, when = self._ring.end, time.monotonic()
                self.emit({"event": "progress", **self._figures()})
            time.sleep(PROGRESS_INTERVAL)

    def _conclude(self) -> None:
        digest = hashlib.sha256()
        hasher = spawn(self._hash.drain, digest.update)
        self._consumer.consume(self._consume)
        hasher.join()
        self._news.set()
        verdict = {"sha256": digest.hexdigest(), "skipped": self._skipped, **self._figures()}
        if reason := self._consumer.reason:
            self.emit({"event": "failed", "reason": reason, "evidence": self._consumer.evidence, **verdict})
        else:
            self.emit({"event": "done", **verdict})
        self._forwarder.finished.wait()
        self._news.set()
        time.sleep(LINGER)
        self.leave(1 if reason else 0)

    def _figures(self) -> dict[str, object]:
        return {"bytes": self._ring.end, "consumed": self._consume.offset}


def main() -> None:
    line = sys.stdin.buffer.readline()
    try:
        relay = Relay(Settings(**ast.literal_eval(line.decode())))
    except OSError as error:
        reason = f"cannot start: {error.strerror}: {error.filename or 'listening'}"
        os.write(1, (encode({"event": "failed", "reason": reason, "evidence": ""}) + "\n").encode())
        os._exit(1)
    relay.run()
