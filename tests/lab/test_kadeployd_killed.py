# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of kadeployd again and again, at moments that are drawn: each deployment comes to its end."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest
import yaml

from kadeploy.store import node_states
from kadeploy.store.store import Store

from .conftest import CONTAINERS
from .laboratory import PROGRAMS, Laboratory, until

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.nightly,
    pytest.mark.deploys("debian12-min", "fleet-min"),
    pytest.mark.timeout(7200),
]

KILLS, KILLS_BY_NIGHT = 10, 100
NODES = ("node-1", "node-2")
MOST = 14  # entries of the journal for which a server lives; a deployment of two nodes has some eighty
DEPLOYMENT_SECONDS = 300


@pytest.fixture
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    laboratory = Laboratory(f"t-{os.getpid()}-killed", tmp_path_factory.mktemp("lab"))
    laboratory.emulated = False
    try:
        laboratory.up(len(NODES), *CONTAINERS)
        yield laboratory
    finally:
        laboratory.down()


class Served:
    """A lab whose operations a kadeployd carries out, which can be killed."""

    def __init__(self, lab: Laboratory) -> None:
        self.lab = lab
        self.log = lab.directory / "kadeployd.log"
        path = lab.plan.config / "server.conf"
        content = yaml.safe_load(path.read_text())
        content["kadeployd"] = {"socket": str(lab.directory / "kadeploy.sock")}
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def start(self) -> subprocess.Popen[bytes]:
        """Start a server, which goes on with what the last one was killed at."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [PROGRAMS / "kadeployd"], env=self.lab.environment, stdout=subprocess.PIPE, stderr=log
            )
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"kadeployd answers"), self.log.read_text()
        return process

    def entries(self, wid: str) -> int:
        """Entries of a workflow in the journal."""
        return int(self._value("select count(*) from journal where workflow_id = ?", wid))

    def state(self, wid: str) -> str:
        """State of a workflow."""
        return self._value("select state from workflows where id = ?", wid)

    def _value(self, query: str, *values: str) -> str:
        with closing(sqlite3.connect(self.lab.plan.store, timeout=30)) as connection:
            return str(connection.execute(query, values).fetchone()[0])

    def begin(self) -> str:
        """A deployment that was interrupted when its nodes had begun; its workflow."""
        run = self.lab.deploy(",".join(NODES), "-e", "debian12-min", "--write-workflow-id", "wid")
        file = run.directory / "wid"
        until(lambda: file.exists() and file.read_text().strip() != "", 60, lambda: run.log)
        wid = file.read_text().strip()
        until(lambda: self.state(wid) == "running", 60, lambda: run.log)
        run.interrupt(signal.SIGKILL)
        run.process.wait()
        return wid

    def wait_for_end(self, wid: str) -> None:
        """Wait until a workflow is done."""
        until(lambda: self.state(wid) == "done", DEPLOYMENT_SECONDS, self.log.read_text)

    def check(self) -> None:
        """The nodes run the deployed system, and prove it by the keys that the store has of them."""
        directory = self.lab.directory

        async def read() -> dict[str, node_states.NodeRecord]:
            async with Store.open(self.lab.plan.store) as store:
                return await node_states.read(store, NODES)

        found = asyncio.run(read())
        assert {name: str(record.state) for name, record in found.items()} == dict.fromkeys(NODES, "deployed")
        known = directory / "known_hosts"
        lines = [f"{self.lab.addresses[name]} {key}\n" for name in NODES for key in found[name].host_keys]
        known.write_text("".join(lines))
        for name in NODES:
            done = self.lab.ssh(name, known, directory / "key", "cat /etc/hostname; findmnt -no SOURCE /")
            assert done.stdout.split() == [name, "/dev/vda4"], done.stderr


def kill_once(served: Served, wid: str, draw: random.Random) -> bool:
    """Let a server live until the journal has some more entries, and kill it; False where it has ended."""
    process = served.start()
    target = served.entries(wid) + draw.randint(1, MOST)

    def reached() -> bool:
        return served.state(wid) == "done" or served.entries(wid) >= target

    try:
        until(reached, DEPLOYMENT_SECONDS, served.log.read_text)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    return served.state(wid) != "done"


def test_each_deployment_comes_to_its_end(containers: Laboratory, request: pytest.FixtureRequest) -> None:
    served, draw, kills = Served(containers), random.Random(7), 0
    wanted = KILLS_BY_NIGHT if request.config.getoption("nightly") else KILLS
    while kills < wanted:
        wid = served.begin()
        while kills < wanted and kill_once(served, wid, draw):
            kills += 1
        process = served.start()
        served.wait_for_end(wid)
        served.check()
        process.terminate()
        assert process.wait(60) == 0
        assert process.stdout is not None
        process.stdout.close()
