# SPDX-License-Identifier: Apache-2.0
"""Commands that wait for their operations at a kadeployd which is killed, restarted, or has others before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.cli import program
from tests.unit.server_life.conftest import Serve
from tests.unit.server_life.kadeployd import PATIENCE, PowerSite, until

pytestmark = pytest.mark.slow

Ask = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def ask(power_site: PowerSite) -> Iterator[Ask]:
    """``ask("red-1")`` is a kapower that switches nodes on by the server, and waits."""
    begun: list[subprocess.Popen[str]] = []

    def begin(nodes: str, *options: str) -> subprocess.Popen[str]:
        kapower = Path(sys.executable).with_name("kapower")
        argv: list[str | Path] = [kapower, "--on", "-m", nodes, "--server", str(power_site.socket), *options]
        pipe = subprocess.PIPE
        variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(program.CHECKOUT)}
        begun.append(subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, env=variables))
        return begun[-1]

    yield begin
    for one in begun:
        one.kill()
        one.communicate()


def finish(command: subprocess.Popen[str], status: int = 0) -> str:
    """Wait for the end of a command; its output."""
    output, errors = command.communicate(timeout=PATIENCE)
    assert command.returncode == status, output + errors
    return output


def listed(site: PowerSite) -> list[dict[str, object]]:
    """Workflows as the list of the server has them, newest first."""
    arguments = ["--list", "--json", "--server", str(site.socket)]
    done = program.run("kadeploy", arguments, site.directory, {"PATH": os.environ["PATH"]})
    found: list[dict[str, object]] = json.loads(done.stdout)["workflows"]
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_command_waits_for_its_operation_over_the_death_of_the_server(
    power_site: PowerSite, serve: Serve, ask: Ask, number: signal.Signals
) -> None:
    power_site.configure(slots=1)
    power_site.take(1)
    server, command = serve(), ask("red-[1-3]")
    until(lambda: len(power_site.switched()) == 1, "a node is switched")
    server.end(number)
    power_site.take(0.1)
    serve()
    assert "red-1" in finish(command)
    assert power_site.switched().count("end red-3") == 1


def test_operations_of_the_same_nodes_wait_for_each_other_also_over_a_restart(
    power_site: PowerSite, serve: Serve, ask: Ask
) -> None:
    power_site.take(3)
    server, first = serve(), ask("red-1")
    until(lambda: power_site.switched() == ["begin red-1"], "the first one switches")
    second = ask("red-[1-2]")
    until(lambda: listed(power_site)[0]["queue"] is not None, "the second one waits")
    assert listed(power_site)[0]["queue"] == {"position": 1, "seconds": None}
    third = ask("red-3")
    until(lambda: "begin red-3" in power_site.switched(), "who wants another node passes")
    server.end(signal.SIGKILL)
    power_site.take(0.1)
    serve()
    for command in (first, second, third):
        finish(command)
    switched = power_site.switched()
    assert switched.index("end red-1") < switched.index("begin red-2")
    assert {one["state"] for one in listed(power_site)} == {"done"}


def test_a_refusal_by_the_mode_reaches_the_command(power_site: PowerSite, serve: Serve, ask: Ask) -> None:
    serve()
    arguments = ["-S", str(power_site.socket), "refuse"]
    program.run("kadeployctl", arguments, power_site.directory, {"PATH": os.environ["PATH"]})
    command = ask("red-1")
    _, errors = command.communicate(timeout=PATIENCE)
    assert command.returncode == 3
    assert "kadeployd lets no operation begin at present" in errors
    assert listed(power_site) == []
