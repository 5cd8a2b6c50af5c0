# SPDX-License-Identifier: Apache-2.0
"""Operations whose terminal is closed, or that are asked to end: told, and nothing of them goes on."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kadeploy.local.process_stat import read_stat
from tests.keys import write_key
from tests.unit.cli.conftest import CLUSTER, Command

PROGRAMS = Path(sys.executable).parent
LONG = 60  # seconds for what takes a moment, unless the machine is busy


@pytest.fixture
def hanging(configuration: Path, tmp_path: Path) -> Path:
    """File with the number of the process that hangs when the power is asked for."""
    power = tmp_path / "power"
    power.write_text(f"#!/bin/sh\ntimeout 99 sh -c 'echo $$ >{tmp_path}/pid; exec sleep 99'; exit 1\n")
    power.chmod(0o755)
    way = f'  power_status: [{{name: soft, cmd: "{power}", timeout: 90}}]\n'
    (configuration / "test.conf").write_text(CLUSTER + way)
    (configuration / "keys").mkdir()
    write_key(configuration / "keys" / "id_deploy")
    return tmp_path / "pid"


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Descriptors of a terminal: of who looks at it, and of who runs on it."""
    outside, inside = pty.openpty()
    yield outside, inside
    for descriptor in (outside, inside):
        try:
            os.close(descriptor)
        except OSError:
            continue  # the test has closed it


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return not read_stat(pid).has_ended
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("what", ["the terminal is closed", "SIGTERM", "SIGKILL"])
def test_an_operation_that_is_ended_from_outside(
    hanging: Path, terminal: tuple[int, int], configuration: Path, tmp_path: Path, process: Command, what: str
) -> None:
    outside, inside = terminal
    command = ["kapower", "--status", "-m", "node-1", "-o", "good", "-n", "bad"]
    variables = {
        "PATH": f"{PROGRAMS}:/usr/bin:/bin",
        "KADEPLOY_CONFIG_DIR": str(configuration),
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "TERM": "xterm",
    }
    # setsid makes the terminal that of the command, as a shell on it would.
    running = subprocess.Popen(
        ["setsid", "-c", "env", "--default-signal=HUP", *command],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env=variables,
        cwd=tmp_path,
    )
    os.close(inside)
    until(lambda: hanging.exists() and hanging.read_text().endswith("\n"))
    pid = int(hanging.read_text())
    assert alive(pid)
    match what:
        case "SIGTERM":
            running.send_signal(signal.SIGTERM)
        case "SIGKILL":
            running.kill()
        case _:
            os.close(outside)
    status = running.wait(LONG)
    until(lambda: not alive(pid))
    if what == "SIGKILL":
        assert status == -signal.SIGKILL
        return
    assert (status, (tmp_path / "good").read_text(), (tmp_path / "bad").read_text()) == (130, "", "node-1\n")
    told = process("kadeploy", "--watch", "last").stdout
    assert ("its terminal was closed (SIGHUP)" if "closed" in what else "asked to end by SIGTERM") in told
    assert "!!! node-1 aborted" in told
