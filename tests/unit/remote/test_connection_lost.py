# SPDX-License-Identifier: Apache-2.0
"""Commands whose connection ends before them, as when kadeploy is killed: nothing of them goes on."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kadeploy.errors import UnreachableError
from kadeploy.remote.connection import NodeConnections

from .conftest import NODE, SSHD, Keys, Sshd
from .test_connection import gone, running, unique_sleep

LONG = 30  # seconds for what takes a moment, unless the machine is busy
OVERLAY = Path(__file__).parents[3] / "environments" / "deploy-env" / "overlay"

# What a command does with a process that sleeps SECONDS.
COMMANDS = {
    "itself": "exec sleep SECONDS",
    "child": "sleep SECONDS; true",
    "own group": "timeout 99 sleep SECONDS; true",
    "own session": "setsid -w sleep SECONDS; true",
    "deaf": "trap '' TERM HUP INT; sleep SECONDS; true",
    "background": "sleep SECONDS >/dev/null 2>&1 & sleep 99; true",
}

# Runs a command on the node until it is killed.
HEAD = """
import asyncio, sys
from pathlib import Path
from kadeploy.remote.connection import NodeConnections

async def main(key, port, host_key, *command):
    nodes = NodeConnections(
        client_key=Path(key), address={"node-1": "127.0.0.1"}, port=int(port), connect_timeout=20
    )
    nodes.pin("node-1", [host_key])
    await nodes.run("node-1", command, timeout=60)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def marker() -> AsyncIterator[str]:
    """Seconds that a process sleeps; it is ended afterwards."""
    seconds = unique_sleep()
    yield seconds
    listed = subprocess.run(["ps", "-e", "-o", "pid=,args="], capture_output=True, text=True, check=True)
    for line in listed.stdout.splitlines():
        if seconds in line:
            os.kill(int(line.split()[0]), signal.SIGKILL)


def sleeps(marker: str) -> bool:
    return f"sleep {marker}" in running(marker)


async def begin(
    nodes: NodeConnections, text: str, marker: str, data: bytes | None = None
) -> asyncio.Task[None]:
    """Run a shell text until its process sleeps."""

    async def run() -> None:
        with pytest.raises(UnreachableError):
            await nodes.run(NODE, ["sh", "-c", text.replace("SECONDS", marker)], input=data, timeout=60)

    task = asyncio.create_task(run())
    await until_it_sleeps(marker)
    return task


async def until_it_sleeps(marker: str) -> None:
    async with asyncio.timeout(LONG):
        while not sleeps(marker):
            await asyncio.sleep(0.05)


def lose(nodes: NodeConnections) -> None:
    connection = nodes.existing(NODE)
    assert connection is not None
    connection.abort()


@pytest.mark.parametrize("how", COMMANDS)
async def test_a_command_ends_with_its_connection(nodes: NodeConnections, marker: str, how: str) -> None:
    task = await begin(nodes, COMMANDS[how], marker)
    lose(nodes)
    await task
    assert await gone(marker)


@pytest.mark.parametrize("size", [1, 3_000_000])
async def test_a_command_that_has_its_input_ends_with_its_connection(
    nodes: NodeConnections, marker: str, size: int
) -> None:
    text = f'[ "$(wc -c)" -eq {size} ] && sleep SECONDS; true'
    task = await begin(nodes, text, marker, b"x" * size)
    lose(nodes)
    await task
    assert await gone(marker)


async def test_a_script_ends_with_its_connection(nodes: NodeConnections, marker: str) -> None:
    script = f"#!/bin/sh\ntimeout 99 sleep {marker}\n".encode()
    task = asyncio.create_task(nodes.run_script(NODE, script, timeout=60))
    await until_it_sleeps(marker)
    lose(nodes)
    with pytest.raises(UnreachableError):
        await task
    assert await gone(marker)


async def test_a_program_that_ignores_the_end_of_its_input_ends_with_its_connection(
    nodes: NodeConnections, marker: str
) -> None:
    program = await nodes.start(NODE, ["sh", "-c", f"echo begun; timeout 99 sleep {marker}; true"])
    assert await program.readline() == b"begun\n"
    await until_it_sleeps(marker)
    lose(nodes)
    assert await gone(marker)
    await program.kill()


async def test_a_program_has_time_to_clear_up(nodes: NodeConnections, tmp_path: Path) -> None:
    text = f"echo begun; cat; sleep 1; echo cleared >{tmp_path}/said"
    program = await nodes.start(NODE, ["sh", "-c", text])
    assert await program.readline() == b"begun\n"
    lose(nodes)
    async with asyncio.timeout(LONG):
        while not (tmp_path / "said").exists():
            await asyncio.sleep(0.05)
    await program.kill()


async def test_what_a_command_has_detached_goes_on(nodes: NodeConnections, marker: str) -> None:
    """So does the reboot that ends a miniOS."""
    text = f"(exec sleep {marker}) </dev/null >/dev/null 2>&1 &"
    await nodes.run(NODE, ["sh", "-c", text], timeout=LONG)
    lose(nodes)
    await asyncio.sleep(1.5)
    assert sleeps(marker)


async def test_a_command_ends_when_its_head_is_killed(
    nodes: NodeConnections, sshd: Sshd, keys: Keys, marker: str
) -> None:
    text = COMMANDS["own group"].replace("SECONDS", marker)
    argv = [sys.executable, "-c", HEAD, str(keys.client), str(sshd.port), keys.public("host")]
    head = subprocess.Popen([*argv, "sh", "-c", text], cwd=Path(__file__).parents[3])
    await until_it_sleeps(marker)
    head.kill()
    head.wait()
    assert await gone(marker)


def test_the_minios_notices_that_a_head_has_crashed(tmp_path: Path, keys: Keys) -> None:
    assert SSHD is not None
    configuration = tmp_path / "sshd_config"
    shutil.copy(OVERLAY / "etc" / "ssh" / "sshd_config", configuration)
    told = subprocess.run(
        [SSHD, "-T", "-f", str(configuration), "-h", str(keys.host)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    settings = dict(line.split(" ", 1) for line in told.splitlines())
    assert 0 < int(settings["clientaliveinterval"]) * int(settings["clientalivecountmax"]) <= 45
