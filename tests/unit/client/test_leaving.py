# SPDX-License-Identifier: Apache-2.0
"""Commands that end before the operation that a server carries out for them: it is aborted, or goes on."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from kadeploy.caller import Caller
from kadeploy.config.site import Site
from kadeploy.environments import registry
from kadeploy.environments.environment import Environment
from kadeploy.store.store import Store
from tests.unit.operations.conftest import Script, script  # noqa: F401 - a fixture
from tests.unit.server.serving import OpenServices, ask, serving

ME = Caller.of_process().name


@pytest.fixture
def hanging(site: Site, address: Path, script: type[Script]) -> Iterator[OpenServices]:  # noqa: F811
    """A served site, whose deployments hang until they are ended."""
    script.hanging = "reboot"
    with serving(site, address, script) as services:
        yield services


Begin = Callable[..., subprocess.Popen[str]]


@pytest.fixture
async def begin(
    hanging: OpenServices, store: Store, environment: Environment, address: Path, tmp_path: Path
) -> AsyncIterator[Begin]:
    """Runs kadeploy, on a terminal if one is given, until the operation has begun."""
    await registry.add(store, replace(environment, owner=ME))
    files = ["--write-workflow-id", "wid", "-o", "ok", "-n", "ko"]

    def run(terminal: int | None = None) -> subprocess.Popen[str]:
        command = [str(Path(sys.executable).with_name("kadeploy")), "-e", "debian", "-m", "red-[1-2]", *files]
        process = processes.enter_context(
            subprocess.Popen(
                ["env", "--default-signal=HUP", *command],  # the tests may have been started by nohup
                cwd=tmp_path,
                env={
                    "PATH": "/usr/bin:/bin",
                    "KADEPLOY_SERVER": str(address),
                    "PYTHONPATH": str(Path(__file__).parents[3]),
                },
                stdin=subprocess.DEVNULL if terminal is None else terminal,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        processes.callback(process.kill)
        wait(lambda: (tmp_path / "wid").exists() and bool((tmp_path / "wid").read_text()))
        wait(lambda: state(address) == "running" and (tmp_path / "ko").exists())
        return process

    with ExitStack() as processes:
        yield run


def wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not until():
        assert time.monotonic() < end
        time.sleep(0.05)


def state(address: Path) -> str:
    return str(ask(address, "/v1/workflows/last").document["state"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_without_a_terminal_the_operation_is_aborted(
    begin: Begin, address: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = begin()
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "The deployment was aborted on nodes\nred-1 (" in output
    assert (tmp_path / "ko").read_text() == "red-1\nred-2\n"
    assert "is being aborted" in errors and errors.endswith("kadeploy: interrupted\n")
    assert state(address) == "aborted"


def test_where_the_terminal_was_closed_the_operation_goes_on(begin: Begin, address: Path) -> None:
    process = begin()
    process.send_signal(signal.SIGHUP)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert " goes on; kadeploy --watch D-" in errors
    assert state(address) == "running"


@pytest.mark.parametrize(
    ("keys", "becomes"),
    [("d\n", "running"), ("D\n", "running"), ("a\n", "aborted"), ("\n", "asked again"), (None, "aborted")],
)
def test_on_a_terminal_the_user_is_asked(begin: Begin, address: Path, keys: str | None, becomes: str) -> None:
    controller, terminal = pty.openpty()
    process = begin(terminal)
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    assert " goes on without this command; kadeploy --watch D-" in process.stderr.readline()
    assert process.stderr.readline().startswith("Ctrl-C once more, or a: abort it.")
    if keys is None:
        process.send_signal(signal.SIGINT)
    else:
        os.write(controller, keys.encode())
    if becomes == "asked again":
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert "goes on without this command" in process.stderr.readline()
        assert state(address) == "running"
        process.kill()
    process.communicate(timeout=30)
    os.close(controller)
    os.close(terminal)
    if becomes != "asked again":
        assert process.returncode == 130
        assert state(address) == becomes


def test_who_ends_it_elsewhere_ends_the_command(begin: Begin, address: Path) -> None:
    process = begin()
    assert ask(address, "/v1/workflows/last/cancel", "POST").status == 200
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (1, "")
    assert f"{ME} has cancelled the workflow" in output
    assert "The deployment was aborted on nodes\nred-1 (" in output
