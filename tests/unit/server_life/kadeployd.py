# SPDX-License-Identifier: Apache-2.0
"""A kadeployd in a process of its own, on a site whose machines are switched by a script that takes its time.

What the script does it writes down: ``begin NODE`` and ``end NODE``.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import yaml

from kadeploy.operations.power.request import PowerKind, PowerRequest
from kadeploy.operations.request import Request
from kadeploy.store import workflows
from kadeploy.store.store import Store
from kadeploy.vocabulary.workflow import State, WorkflowKind
from tests.keys import write_key
from tests.unit.cli.program import CHECKOUT
from tests.unit.service.dead import DEAD

PATIENCE = 30.0  # seconds, on a busy machine
SWITCH = """\
#!/bin/sh
echo "begin $1" >> LOG
sleep "$(cat SECONDS)"
echo "end $1" >> LOG
"""


class PowerSite:
    """A site of three nodes, of which ``slots`` are switched at once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = directory / "store.sqlite"
        self.socket = directory / "run/kadeploy.sock"
        self._log, self._seconds = directory / "switched", directory / "seconds"
        self.take(0.3)
        switch = directory / "switch"
        switch.write_text(SWITCH.replace("LOG", str(self._log)).replace("SECONDS", str(self._seconds)))
        switch.chmod(0o755)
        command = {"name": "hard", "cmd": f"{switch} HOSTNAME_FQDN"}
        self.write(
            "red.conf",
            {
                "partitioning": {
                    "block_device": "/dev/sda",
                    "layout": [{"name": "deploy", "number": 1, "size": "rest"}],
                },
                "boot": {
                    "kernels": {"user": {"params": ""}, "deploy": {"vmlinuz": "vmlinuz", "initrd": "initrd"}}
                },
                "remoteops": {"reboot": [command], "power_on": [command], "power_off": [command]},
            },
        )
        nodes = {"name": "red-[1-3]", "address": "127.0.1.[1-3]"}
        self.write(
            "clusters.conf", {"clusters": [{"name": "red", "conf_file": "red.conf", "nodes": [nodes]}]}
        )
        self.configure()
        (directory / "keys").mkdir()
        write_key(directory / "keys/id_deploy")

    def configure(self, slots: int = 3, **kadeployd: object) -> None:
        """Write server.conf."""
        self.write(
            "server.conf",
            {
                "database": {"name": str(self.store)},
                "network": {"server_address": "127.0.0.1"},
                "pxe": {"dhcp": {"repository": "boot"}},
                "cache": {"directory": "cache"},
                "windows": {"reboot": {"size": slots}},
                "kadeployd": {"socket": str(self.socket), **kadeployd},
            },
        )

    def write(self, name: str, content: object) -> None:
        (self.directory / name).write_text(yaml.safe_dump(content))

    def take(self, seconds: float) -> None:
        """Let the script take so long from now on."""
        self._seconds.write_text(str(seconds))

    def switched(self) -> list[str]:
        """What the script has written down."""
        return self._log.read_text().splitlines() if self._log.exists() else []

    def state(self, wid: str) -> str:
        """State of a workflow as its row has it."""
        with closing(sqlite3.connect(self.store)) as connection:
            return str(connection.execute("select state from workflows where id = ?", (wid,)).fetchone()[0])

    def change(self, statement: str, *values: str) -> None:
        """Change rows of the store as no program does."""
        with closing(sqlite3.connect(self.store)) as connection:
            assert connection.execute(statement, values).rowcount > 0
            connection.commit()

    async def leave_behind(
        self, user: str = "root", nodes: Sequence[str] = ("red-1", "red-2", "red-3")
    ) -> str:
        """A workflow whose process was killed in its planning; its identifier."""
        request: Request = PowerRequest(user=user, nodes=tuple(nodes), kind=PowerKind.ON)
        async with Store.open(self.store) as store:
            content = {"request": request.to_json()}
            made = await workflows.create(store, WorkflowKind.POWER, user, content, State.PLANNING)
        self.change("update workflows set owner = ? where id = ?", DEAD, made.id)
        return made.id


class Kadeployd:
    """A kadeployd of a site, which answers when this is made."""

    def __init__(self, site: PowerSite, variables: Mapping[str, str] | None = None) -> None:
        self.log = site.directory / "log"
        self._errors = self.log.open("ab")
        self.process = subprocess.Popen(
            [Path(sys.executable).with_name("kadeployd"), "--config-dir", site.directory],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(CHECKOUT),
                "PYTHONWARNINGS": "error",
                **(variables or {}),
            },
        )
        assert self.process.stdout is not None
        self.greeting = self.process.stdout.readline().decode()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and wait for the exit status."""
        self.send(number)
        return self.wait()

    def wait(self) -> int:
        status = self.process.wait(timeout=PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._errors.close()
        return status

    def get(self, site: PowerSite, path: str) -> tuple[int, str]:
        """Status and text of the answer to a request."""
        with closing(http.client.HTTPConnection("localhost")) as connection:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(PATIENCE)
            connection.sock.connect(str(site.socket))
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def close(self) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL)


def until(done: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, what
        time.sleep(0.02)
