# SPDX-License-Identifier: Apache-2.0
"""What a lab's commands need: its store, on a file system that can be filled, and its boot server."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from kadeploy.lab import processes, services

from ..laboratory import PROGRAMS, Laboratory, until
from .scenario import Outage

SIZE = "48m"  # of the file system of the store
SIBLINGS = ("", "-wal", "-shm")


class Surroundings:
    """Store and boot server of a lab that is up."""

    def __init__(self, lab: Laboratory) -> None:
        self._lab = lab
        self._path = lab.plan.store
        self._disk = lab.plan.state / "store"
        self._record = lab.plan.state / f"{services.BOOT_SERVICE}.pid"
        self._server: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def of(cls, lab: Laboratory) -> Iterator[Surroundings]:
        """Take over store and boot server of a lab, and end the latter."""
        around = cls(lab)
        around._stop_server(signal.SIGTERM)
        around._disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "store", str(around._disk)]
        subprocess.run(mount, check=True)
        try:
            for path in around._files(around._path):
                shutil.move(path, around._disk / path.name)
            around._path.symlink_to(around.store)  # SQLite's other files are where the link leads
            around.start_server()
            yield around
        finally:
            if around._server:
                around._stop_server(signal.SIGTERM)
            subprocess.run(["umount", "--lazy", str(around._disk)], check=True)

    @property
    def store(self) -> Path:
        """Path of the store, no link."""
        return self._disk / self._path.name

    @contextmanager
    def outage(self, kind: Outage) -> Iterator[None]:
        """Something is away meanwhile."""
        kinds = {
            Outage.REPLACED: self._replaced,
            Outage.LOCKED: self._locked,
            Outage.BOOT: self._no_boot_server,
            Outage.FULL: self._full,
        }
        with kinds[kind]():
            yield

    @contextmanager
    def _replaced(self) -> Iterator[None]:
        """A copy is in the place of the store, and then the store again: somebody restored a backup, and
        found that it was the wrong one."""
        aside = self._disk / "aside"
        with closing(sqlite3.connect(self.store)) as source, closing(sqlite3.connect(aside)) as copy:
            source.backup(copy)
        away = self._disk / "away"
        away.mkdir()
        for path in self._files(self.store):
            path.rename(away / path.name)
        aside.rename(self.store)
        try:
            yield
        finally:
            for path in self._files(self.store):
                path.unlink()
            for path in self._files(away / self.store.name):
                path.rename(self._disk / path.name)
            away.rmdir()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with closing(sqlite3.connect(self.store, timeout=30, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")

    @contextmanager
    def _full(self) -> Iterator[None]:
        filling = self._disk / "filling"
        try:
            with suppress(OSError), filling.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            yield
        finally:
            filling.unlink()

    @contextmanager
    def _no_boot_server(self) -> Iterator[None]:
        self._stop_server(signal.SIGKILL)
        try:
            yield
        finally:
            self.start_server()

    def start_server(self) -> None:
        """Start kadeploy-boot as an administrator's supervisor would, and wait until it serves."""
        name = services.BOOT_SERVICE
        program = [str(PROGRAMS / name), "--config-dir", str(self._lab.plan.config)]
        argv = [str(PROGRAMS / "kalab"), "exec", "--name", self._lab.name, "--", *program]
        with (self._lab.plan.state / f"{name}.log").open("ab") as log:
            self._server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        url = "http://172.31.0.1:8069/boot.ipxe"
        ask = ["kalab", "exec", "--name", self._lab.name, "--", "curl", "-sfo", "/dev/null", url]

        def serves() -> bool:
            assert self._server and self._server.poll() is None, "kadeploy-boot has ended"
            return subprocess.run([PROGRAMS / ask[0], *ask[1:]], check=False).returncode == 0

        until(serves, 30, lambda: "kadeploy-boot does not serve")

    def _stop_server(self, number: signal.Signals) -> None:
        if self._server is None:  # it is the one of kalab up
            processes.stop_all([str(self._record)], state=str(self._lab.plan.state), grace=5)
            return
        self._server.send_signal(number)
        self._server.wait(30)

    @staticmethod
    def _files(path: Path) -> list[Path]:
        """A database and its other files, as far as there are any."""
        siblings = [path.with_name(f"{path.name}{suffix}") for suffix in SIBLINGS]
        return [sibling for sibling in siblings if sibling.exists()]
