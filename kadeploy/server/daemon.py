# SPDX-License-Identifier: Apache-2.0
"""Daemon: the process of the server, from its lock on the store to what it leaves to the next one."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from kadeploy.config.site import Site
from kadeploy.errors import FileError, KadeployError, ServiceError
from kadeploy.server.app import make_app
from kadeploy.server.http_server import HttpServer
from kadeploy.server.listening import listening
from kadeploy.server.monitoring import Monitoring
from kadeploy.server.monitoring_server import MonitoringServer, open_port
from kadeploy.server.reload import read_again
from kadeploy.server.rights_watch import watch_rights
from kadeploy.server.service_manager import ServiceManager
from kadeploy.server.supervisor import Supervisor
from kadeploy.store.server_lock import ServerLock, serving
from kadeploy.store.store import Store

log = logging.getLogger(__name__)

LOCK_SECONDS = 2.0  # between two looks whether the lock is still there
SIGNS = 3  # of life, in the time in which one must come


class Daemon:
    """Daemon of a site. ``tell`` is called once it answers, with where."""

    def __init__(self, site: Site, manager: ServiceManager, tell: Callable[[str], None]) -> None:
        self._site = site
        self._manager = manager
        self._tell = tell
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._patience: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._trouble: ServiceError | None = None

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT; a second one breaks off the micro-steps that run.

        Raises ServiceError where the store or the socket cannot be had, or the lock was lost.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        settings, path = self._site.server.kadeployd, self._site.path(self._site.server.database.name)
        socket_path = self._site.path(settings.socket)
        with serving(path, str(socket_path)) as lock:
            async with Store.open(path) as store:
                supervisor = Supervisor(self._site, store)
                try:
                    with self._sockets() as sockets:
                        await self._serve(supervisor, lock, sockets)
                finally:  # what a late request has begun; all of them where a defect has ended the server
                    self._hurry()
                    await supervisor.leave(self._patience)
        if self._trouble:
            raise self._trouble

    def stop(self) -> None:
        """End, and leave the operations to the next process; asked a second time, at once."""
        if self._stop.is_set():
            self._hurry()
            return
        self._stop.set()
        seconds = self._site.server.kadeployd.stop_seconds
        asyncio.get_running_loop().call_later(seconds, self._hurry)

    def _hurry(self) -> None:
        if not self._patience.done():
            self._patience.set_result(None)

    @contextmanager
    def _sockets(self) -> Iterator[Sequence[socket.socket]]:
        if given := self._manager.sockets():
            yield given
            return
        with listening(self._site.path(self._site.server.kadeployd.socket)) as made:
            yield [made]

    async def _serve(
        self, supervisor: Supervisor, lock: ServerLock, sockets: Sequence[socket.socket]
    ) -> None:
        http = HttpServer(Monitoring(make_app(supervisor), supervisor))
        monitoring = MonitoringServer(Monitoring(None, supervisor))
        ports = open_port(self._site.server.kadeployd.monitoring_port)
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(work, name=name)
                for name, work in (
                    ("watchdog", self._give_signs()),
                    ("lock", self._watch(lock)),
                    ("reload", self._read_again(supervisor)),
                    ("queue", supervisor.queue.run()),
                    ("rights", watch_rights(supervisor)),
                )
            ]
            await supervisor.take_up()
            answering = [group.create_task(http.serve(list(sockets)), name="http")]
            answering[0].add_done_callback(lambda _: self.stop())
            if ports:
                answering.append(group.create_task(monitoring.serve(ports), name="monitoring"))
            self._manager.ready()
            self._tell(str(sockets[0].getsockname()))
            await self._stop.wait()
            self._manager.stopping()
            await supervisor.leave(self._patience)
            http.end()
            monitoring.end()
            await asyncio.wait(answering)
            for task in background:
                task.cancel()

    async def _give_signs(self) -> None:
        """Give signs of life from this loop: none comes while something blocks it."""
        seconds = self._manager.watchdog_seconds
        while seconds:
            self._manager.alive()
            await asyncio.sleep(seconds / SIGNS)

    async def _watch(self, lock: ServerLock) -> None:
        """End once the lock is lost: another process may have the store by now."""
        while True:
            await asyncio.sleep(LOCK_SECONDS)
            if not lock.held:
                break
        self._trouble = ServiceError(
            f"{lock.path}, the lock on the store, was removed or replaced",
            hint="leave it alone while kadeployd runs",
        )
        log.critical("%s", self._trouble)
        self.stop()
        self._hurry()

    async def _read_again(self, supervisor: Supervisor) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            self._manager.reloading()
            try:
                supervisor.take_site(await asyncio.to_thread(read_again, supervisor.site))
                log.warning("the configuration was read again")
            except KadeployError as error:
                for problem in error.problems if isinstance(error, FileError) else ():
                    log.error("%s", problem)
                supervisor.configuration_problem = f"it stays as it was: {error.message}"
                log.error("the configuration stays as it was: %s", error.message.partition("\n")[0])
            self._manager.ready()
