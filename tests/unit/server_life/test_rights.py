# SPDX-License-Identifier: Apache-2.0
"""Rights of users whose operations a kadeployd carries out: it ends what has lost them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from kadeploy.caller import Caller
from kadeploy.store import rights
from kadeploy.store.rights import Area
from kadeploy.store.store import Store
from tests.unit.cli.program import CHECKOUT
from tests.unit.server_life.conftest import Serve
from tests.unit.server_life.kadeployd import PowerSite, until

ME = Caller.of_process().name
NODES = ("red-1", "red-2")

pytestmark = pytest.mark.slow


@pytest.fixture
async def limited(power_site: PowerSite) -> PowerSite:
    """The site, where the test's user is almighty; switching a node takes longer than the test."""
    path = power_site.directory / "server.conf"
    content = yaml.safe_load(path.read_text())
    power_site.write("server.conf", {**content, "rights": {"kind": "db", "almighty_users": ME}})
    power_site.take(60)
    return power_site


async def give(site: PowerSite, seconds: float | None) -> None:
    """Give the test's user the right on some nodes."""
    async with Store.open(site.store) as store:
        end = None if seconds is None else time.time() + seconds
        assert await rights.add(store, ME, Area(NODES), end)


def karights(site: PowerSite, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run karights as its users do, without a terminal."""
    return subprocess.run(
        [Path(sys.executable).with_name("karights"), "--server", site.socket, *arguments],
        env={"PYTHONPATH": str(CHECKOUT), "PYTHONWARNINGS": "error"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def test_an_operation_ends_when_the_time_of_its_right_is_over(limited: PowerSite, serve: Serve) -> None:
    await give(limited, 3600)
    wid = await limited.leave_behind(ME, NODES)
    serve()
    until(lambda: len(limited.switched()) == 2, "the nodes are switched")
    assert limited.state(wid) == "running"
    limited.change("update rights set until = ?", str(time.time()))
    until(lambda: limited.state(wid) == "aborted", "it is ended")
    assert "end red-1" not in limited.switched()


async def test_an_operation_ends_when_its_right_is_withdrawn(limited: PowerSite, serve: Serve) -> None:
    await give(limited, None)
    wid = await limited.leave_behind(ME, NODES)
    serve()
    until(lambda: len(limited.switched()) == 2, "the nodes are switched")
    done = karights(limited, "-d", "-u", ME, "-m", "red-2")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"{wid} ends: its user has lost a right that it needs\n"
    until(lambda: limited.state(wid) == "aborted", "it is ended")
    assert karights(limited, "-l").stdout.splitlines()[2:] == [f"{ME:<15} {'red-1':<41} *"]


async def test_what_lost_its_right_while_nobody_served_is_not_taken_up(
    limited: PowerSite, serve: Serve
) -> None:
    await give(limited, None)
    wid = await limited.leave_behind(ME, NODES)
    first = serve()
    until(lambda: len(limited.switched()) == 2, "the nodes are switched")
    first.end(signal.SIGKILL)
    async with Store.open(limited.store) as store:
        await rights.withdraw(store, ME, Area())
    serve()
    until(lambda: limited.state(wid) == "aborted", "it is given up")
    assert len(limited.switched()) == 2
