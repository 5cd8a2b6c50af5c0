# SPDX-License-Identifier: Apache-2.0
"""Parent of the process that serves TFTP, as its child sees it: it knows the profiles, and who is to boot."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import time
from pathlib import Path

from kadeploy.boot.clients import BootClients
from kadeploy.boot.repository import profile_names
from kadeploy.boot.requests import BootFileRequest
from kadeploy.boot.tftp_link import TftpClients, TftpCompletion, TftpQuestion, TftpReply, parse_parent

READY = "ready"
# Seconds for a reply, and seconds for which nobody is asked when there was none: firmware asks again.
REPLY_TIMEOUT, SILENCE = 0.5, 1.0


class NoReplyError(Exception):
    """Error of a client that gets no answer now: it asks again in a while."""


class Parent:
    """Parent that is asked for profiles, by one thread; what it says is read by another one."""

    def __init__(self, repository: Path, directory: str, clients: BootClients) -> None:
        self._repository = repository
        self._directory = directory
        self._clients = clients
        self._replies: queue.SimpleQueue[TftpReply] = queue.SimpleQueue()
        self._number = 0
        self._silent_until = 0.0

    def ask(self, name: str, client: str) -> TftpReply | None:
        """Ask for a profile; None for the name of anything else.

        Raises NoReplyError where there is no reply in time. All transfers wait meanwhile, so the next
        questions are not even asked.
        """
        if not profile_names(self._repository, self._directory, name):
            return None
        if time.monotonic() < self._silent_until:
            raise NoReplyError("nobody knows the profile now")
        self._number += 1
        _tell(TftpQuestion(self._number, name, client).to_json())
        reply = self._wait(time.monotonic() + REPLY_TIMEOUT)
        if reply is None or reply.away:
            self._silent_until = time.monotonic() + SILENCE
            raise NoReplyError("nobody knows the profile now")
        if reply.again:
            raise NoReplyError("this client gets no profile now")
        return reply

    def _wait(self, end: float) -> TftpReply | None:
        while True:
            try:
                reply = self._replies.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                return None
            if reply.number == self._number:
                return reply

    def ready(self) -> None:
        """Say that requests are answered from now on."""
        _tell(READY)

    def report(self, request: BootFileRequest, reply: TftpReply | None) -> None:
        """Report a request that has ended, and that the client has confirmed all of the reply."""
        _tell(request.to_json())
        if reply is not None and reply.text is not None and request.status == reply.status:
            _tell(TftpCompletion(reply.number).to_json())

    def listen(self) -> None:
        """Read what the parent says, and end this process when it is gone."""
        with contextlib.suppress(OSError, ValueError):
            for line in sys.stdin:
                match parse_parent(line):
                    case TftpClients(booting=booting):
                        self._clients.booting = frozenset(booting)
                    case TftpReply() as reply:
                        self._replies.put(reply)
        os._exit(0)


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the interface to the parent
