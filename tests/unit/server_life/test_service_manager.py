# SPDX-License-Identifier: Apache-2.0
"""What kadeployd tells systemd, what it takes from it, and how it reads its configuration again."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kadeploy.server.service_manager import ServiceManager
from tests.unit.cli.program import CHECKOUT
from tests.unit.server_life.conftest import Serve
from tests.unit.server_life.kadeployd import PATIENCE, PowerSite, until

pytestmark = pytest.mark.slow


class Manager:
    """Stands for systemd: the datagrams that a service sends it, in their order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(PATIENCE)

    def next(self, but: str = "WATCHDOG=1") -> str:
        """The next datagram that is another one."""
        while (text := self._socket.recv(4096).decode()) == but:
            pass
        return text

    def signs(self, seconds: float) -> int:
        """Number of the signs of life that come within some seconds."""
        time.sleep(seconds)
        count = 0
        self._socket.settimeout(0.01)
        try:
            while True:
                count += self._socket.recv(4096) == b"WATCHDOG=1"
        except TimeoutError:
            return count
        finally:
            self._socket.settimeout(PATIENCE)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    found = Manager(tmp_path / "notify")
    yield found
    found.close()


def test_it_tells_that_it_is_ready_lives_reloads_and_ends(
    power_site: PowerSite, serve: Serve, manager: Manager
) -> None:
    server = serve({"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "300000"})
    assert manager.next() == "READY=1"
    assert manager.signs(1) >= 3
    server.send(signal.SIGHUP)
    first, second = manager.next().splitlines()
    assert first == "RELOADING=1"
    name, _, value = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert 0 <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000 - int(value) < 60e6
    assert manager.next() == "READY=1"
    server.send(signal.SIGTERM)
    assert manager.next() == "STOPPING=1"
    assert server.wait() == 0


def test_a_process_that_does_not_run_gives_no_sign_of_life(serve: Serve, manager: Manager) -> None:
    server = serve({"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "300000"})
    assert manager.next() == "READY=1"
    server.send(signal.SIGSTOP)
    manager.signs(0.3)
    assert manager.signs(0.5) == 0
    server.send(signal.SIGCONT)
    assert manager.signs(1) >= 2


def test_the_socket_is_for_everybody_and_goes_with_the_process(power_site: PowerSite, serve: Serve) -> None:
    server = serve()
    assert server.greeting == f"kadeployd answers at {power_site.socket}\n"
    assert stat.S_IMODE(power_site.socket.stat().st_mode) == 0o666
    assert server.end(signal.SIGINT) == 0
    assert not power_site.socket.exists()


def test_the_socket_of_a_killed_one_is_replaced(power_site: PowerSite, serve: Serve) -> None:
    serve().end(signal.SIGKILL)
    assert power_site.socket.exists()
    serve()
    assert answers(power_site.socket)


def test_a_socket_that_it_is_given_is_the_one_where_it_answers(power_site: PowerSite) -> None:
    given = power_site.directory / "given.sock"
    # The variable LISTEN_PID names the process itself, so the shell sets it, and is replaced by it.
    command = f"exec env LISTEN_FDS=1 LISTEN_PID=$$ {Path(sys.executable).with_name('kadeployd')} "
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(given))
        made.listen()
        process = subprocess.Popen(
            ["/bin/bash", "-c", f"exec 3<&{made.fileno()}; {command} --config-dir {power_site.directory}"],
            stdout=subprocess.PIPE,
            pass_fds=[made.fileno()],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT)},
        )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().decode() == f"kadeployd answers at {given}\n"
        assert answers(given)
        assert not power_site.socket.exists()
        process.terminate()
    assert process.returncode == 0
    assert given.exists(), "it is not its own"


def answers(path: Path) -> bool:
    """Report that a server answers at a socket."""
    with socket.socket(socket.AF_UNIX) as made:
        made.settimeout(PATIENCE)
        made.connect(str(path))
        connection = http.client.HTTPConnection("localhost")
        connection.sock = made
        connection.request("GET", "/v1/openapi.json")
        return connection.getresponse().status == 200


def test_a_wrong_configuration_is_not_taken_and_all_that_is_wrong_is_told(
    power_site: PowerSite, serve: Serve
) -> None:
    server = serve()
    good = (power_site.directory / "server.conf").read_text()
    (power_site.directory / "server.conf").write_text(f"{good}\nnothing: here\n")
    power_site.write("red.conf", {"partitioning": 7})
    server.send(signal.SIGHUP)
    until(lambda: "the configuration stays as it was" in server.log.read_text(), "it is refused")
    told = server.log.read_text()
    assert f"{power_site.directory}/server.conf:{len(good.splitlines()) + 2}:1: " in told
    assert f"{power_site.directory}/red.conf:1:" in told
    assert answers(power_site.socket)


def test_what_counts_at_the_start_changes_with_a_restart_only(power_site: PowerSite, serve: Serve) -> None:
    server = serve()
    power_site.configure(socket=str(power_site.directory / "other.sock"))
    server.send(signal.SIGHUP)
    expected = "kadeployd.socket of server.conf can change only with a restart of kadeployd"
    until(lambda: expected in server.log.read_text(), "it is refused")


def test_without_a_manager_nobody_is_told_and_nothing_is_handed_over() -> None:
    manager = ServiceManager({})
    manager.ready()
    assert manager.sockets() == []
    assert manager.watchdog_seconds is None
    assert ServiceManager({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}).watchdog_seconds is None
    assert ServiceManager({"WATCHDOG_USEC": "2000000"}).watchdog_seconds == 2
    assert ServiceManager({"LISTEN_FDS": "1", "LISTEN_PID": "1"}).sockets() == []
