# SPDX-License-Identifier: Apache-2.0
"""The server of a site on a socket, in a thread of its own, and bare requests to it."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from kadeploy.caller import Caller
from kadeploy.config.site import Site
from kadeploy.operations.run.executor import StepExecutor
from kadeploy.operations.run.operation import MakeExecutor
from kadeploy.server.app import make_app
from kadeploy.server.http_server import HttpServer
from kadeploy.service.service import Service
from kadeploy.store.store import Store


class OpenServices:
    """Services over one store, one for each caller; it remembers who has called."""

    def __init__(self, site: Site, store: Store, make_executor: MakeExecutor) -> None:
        self.site = site
        self.store = store
        self.callers: list[Caller] = []
        self._make_executor = make_executor
        self._services: dict[Caller, Service] = {}

    def service_for(self, caller: Caller) -> Service:
        self.callers.append(caller)
        if caller not in self._services:
            service = Service(self.site, self.store, caller, lambda _: None)
            operations = replace(service.operations, make_executor=self._make_executor)
            vars(service)["operations"] = operations
            self._services[caller] = service
        return self._services[caller]

    async def close(self) -> None:
        for service in self._services.values():
            await service.operations.close()


@contextmanager
def serving(site: Site, path: Path, make_executor: MakeExecutor = StepExecutor) -> Iterator[OpenServices]:
    """Serve a site on a socket, which any user may connect to."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        path.chmod(0o666)
        listening.listen(100)
        try:
            with serving_on(listening, site, make_executor) as services:
                yield services
        finally:
            path.unlink()


@contextmanager
def serving_on(
    listening: socket.socket, site: Site, make_executor: MakeExecutor = StepExecutor
) -> Iterator[OpenServices]:
    """Serve a site on a socket that listens."""
    ready, made = threading.Event(), list[OpenServices]()
    end: list[Callable[[], object]] = []

    async def main() -> None:
        async with Store.open(site.path(site.server.database.name)) as store:
            made.append(OpenServices(site, store, make_executor))
            server = HttpServer(make_app(made[0]))
            loop = asyncio.get_running_loop()
            end.append(partial(loop.call_soon_threadsafe, server.end))
            ready.set()
            await server.serve(sockets=[listening])
            await made[0].close()

    thread = threading.Thread(target=asyncio.run, args=(main(),), name="server")
    thread.start()
    assert ready.wait(20)
    try:
        yield made[0]
    finally:
        end[0]()
        thread.join(20)
    assert not thread.is_alive()


@dataclass(frozen=True, slots=True)
class Plain:
    """A plain answer."""

    status: int
    document: Any
    headers: Mapping[str, str] = field(default_factory=dict)


_REQUEST = """\
import json, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(20)
connection.connect(sys.argv[1])
connection.sendall(sys.stdin.buffer.read())
received = b""
while chunk := connection.recv(65536):
    received += chunk
sys.stdout.buffer.write(received)
"""


def ask(
    path: Path,
    target: str,
    method: str = "GET",
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    uid: int | None = None,
) -> Plain:
    """Send a request as a user, this one by default, by no code of ours."""
    sent = {"host": "x", "connection": "close", "content-length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    done = subprocess.run(
        ["/usr/bin/env", "python3", "-I", "-c", _REQUEST, str(path)],
        input=f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body,
        capture_output=True,
        check=True,
        timeout=60,
        user=uid,
        group=uid,
        extra_groups=None if uid is None else [],
        cwd="/",
    )
    return parse(done.stdout)


def parse(received: bytes) -> Plain:
    """Answer in the bytes of one whose length was told."""
    head, _, content = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    is_json = headers.get("content-type") == "application/json"
    return Plain(int(first.split()[1]), json.loads(content) if is_json else content, headers)
