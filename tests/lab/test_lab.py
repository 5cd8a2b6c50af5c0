# SPDX-License-Identifier: Apache-2.0
"""Labs come up with working BMCs, and go away without a trace, also after a crash."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kadeploy.config import site
from kadeploy.lab import configuration, processes
from kadeploy.lab.labs import names

pytestmark = pytest.mark.lab

KALAB = [sys.executable, "-c", "from kadeploy.cli.kalab import main; main()"]
NAMES = (f"t{os.getpid()}a", f"t{os.getpid()}b")


class Lab:
    """kalab for a lab of one name, in a state directory of its own."""

    def __init__(self, name: str, directory: Path, driver: str) -> None:
        self.name = name
        self.driver = driver
        self.state = directory / name
        self.options = ["--name", name]
        self.deploy_env = directory / "deploy-env"
        self.deploy_env.mkdir(exist_ok=True)
        for file in configuration.DEPLOY_ENV_FILES:
            (self.deploy_env / file).write_text("nothing boots here\n")

    def run(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [*KALAB, arguments[0], *self.options, *arguments[1:]],
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr

    def start(self, count: int = 1, programs: Path | None = None) -> subprocess.Popen[str]:
        """``kalab up`` in the background; programs of that directory come before those of the system."""
        places = ["--state-dir", str(self.state), "--deploy-env", str(self.deploy_env)]
        kind = ["--driver", self.driver, "--boot-delay", "0.5", "--boot-spread", "0"]
        path = f"{programs}:{os.environ['PATH']}" if programs else os.environ["PATH"]
        return subprocess.Popen(
            [*KALAB, "up", "-n", str(count), *self.options, *kind, *places],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PATH": path},
        )  # fmt: skip

    @contextlib.contextmanager
    def held_up(self) -> Iterator[subprocess.Popen[str]]:
        """``kalab up`` that has started all services, and goes no further: its ipmitool waits."""
        programs = self.deploy_env.parent / f"{self.name}-programs"
        programs.mkdir()
        gate = programs / "gate"
        os.mkfifo(gate)
        ipmitool = programs / "ipmitool"
        ipmitool.write_text(f'#!/bin/sh\nread -r _ <{gate}\nexec {shutil.which("ipmitool")} "$@"\n')
        ipmitool.chmod(0o755)
        with self.start(count=6, programs=programs) as process, kept_open(gate):
            yield process

    def up(self, count: int = 1) -> str:
        with self.start(count) as process:
            out, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
        return out

    def down(self) -> None:
        self.run("down")

    def power(self) -> str:
        power: str = json.loads(self.run("status", "--json"))[0]["power"]
        return power

    def wire(self) -> tuple[bool, bool] | None:
        """Whether the wire of node-1 is plugged, and leads to the bridge; None where there is none."""
        shown = self.run("exec", "--", "ip", "-j", "link", "show")
        for link in json.loads(shown):
            if link["ifname"] == "tap1":
                return "UP" in link["flags"], link.get("master") == "br0"
        return None

    def processes(self) -> list[str]:
        """Command lines of whatever runs with this lab's mark."""
        mark = f"{processes.MARKER}={self.state}".encode()
        found = []
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if process.name.isdigit() and mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        return found

    def assert_gone(self) -> None:
        assert self.processes() == []
        assert not Path(f"/run/netns/kalab-{self.name}").exists()
        backing = [file.read_text() for file in Path("/sys/block").glob("loop*/loop/backing_file")]
        assert not [path for path in backing if path.startswith(str(self.state))]
        assert not list(Path("/sys/fs/cgroup").rglob(f"kalab-{self.name}"))
        assert f"kalab-{self.name}" not in Path("/proc/self/mountinfo").read_text()
        assert not self.state.exists()
        assert self.name not in names()


both_drivers = pytest.mark.parametrize(
    "labs", ["qemu", pytest.param("container", marks=pytest.mark.fleet)], indirect=True
)


@pytest.fixture
def labs(short_directory: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Lab, Lab]]:
    """Two labs; of containers, unless a test switches machines on by ``both_drivers``."""
    driver = getattr(request, "param", "container")
    pair = (Lab(NAMES[0], short_directory, driver), Lab(NAMES[1], short_directory, driver))
    yield pair
    for lab in pair:
        lab.down()
        lab.assert_gone()


@both_drivers
def test_power_through_the_bmc(labs: tuple[Lab, Lab]) -> None:
    lab = labs[0]
    config = Path(lab.up().removeprefix("export KADEPLOY_CONFIG_DIR=").strip())
    assert site.load(config).nodes["node-1"].bmc == "172.31.1.11"
    assert lab.power() == "off"
    lab.run("power", "node-1", "on")
    assert lab.power() == "on"
    assert "is on" in lab.run("power", "node-1", "status")
    lab.run("power", "node-1", "reset")
    await_console(lab, {"qemu": "SeaBIOS", "container": "boot.ipxe"}[lab.driver])
    pid = json.loads(lab.run("status", "--json"))[0]["pid"]
    os.kill(pid, signal.SIGKILL)  # the machine dies: its BMC says so
    await_power(lab, "off")
    assert "is off" in lab.run("power", "node-1", "status")
    lab.run("power", "node-1", "reset", status=1)
    lab.run("power", "node-1", "cycle")
    await_power(lab, "on")
    lab.run("power", "node-1", "off")
    assert lab.power() == "off"


@both_drivers
def test_faults(labs: tuple[Lab, Lab]) -> None:
    lab = labs[0]
    lab.up()
    lab.run("fault", "node-1", "no-power", "on")
    lab.run("power", "node-1", "on", status=1)
    assert json.loads(lab.run("status", "--json"))[0]["faults"] == ["no-power"]
    lab.run("fault", "node-1", "no-power", "off")
    lab.run("fault", "node-1", "link-down", "on")
    lab.run("power", "node-1", "on")
    until(lambda: lab.wire() == (False, True), "the wire is not unplugged")
    lab.run("fault", "node-1", "link-down", "off")
    assert lab.wire() == (True, True)
    assert "no fault 'flood'" in lab.run("fault", "node-1", "flood", "on", status=3)
    lab.run("fault", "node-1", "slow-boot", "on", status={"qemu": 3, "container": 0}[lab.driver])


@both_drivers
def test_slow_and_cut_links(labs: tuple[Lab, Lab]) -> None:
    lab = labs[0]
    lab.up()
    known = lab.driver == "container"
    lab.run("fault", "node-1", "slow-link=1mbit", "on", status=0 if known else 3)
    if not known:
        return
    lab.run("power", "node-1", "on")
    await_console(lab, "No bootable device")
    assert "tbf" in lab.run("exec", "--", "tc", "qdisc", "show", "dev", "tap1")
    lab.run("fault", "node-1", "slow-link", "off")
    until(lambda: "tbf" not in lab.run("exec", "--", "tc", "qdisc", "show", "dev", "tap1"), "it stays slow")
    lab.run("fault", "node-1", "cut-link=1@1MiB", "on")
    assert lab.wire() == (True, True), "no system runs that could receive anything"


def test_fault_plans(labs: tuple[Lab, Lab], tmp_path: Path) -> None:
    lab, plan = labs[0], tmp_path / "plan.yaml"
    lab.up()
    plan.write_text("faults: [{nodes: node-1, fault: no-power}, {nodes: node-2, fault: flood}]\n")
    told = lab.run("fault", "--plan", str(plan), status=3)
    assert (
        f"{plan}:1:52: faults.1.nodes: " in told and f"{plan}:1:67: faults.1.fault: there is no fault" in told
    )
    assert json.loads(lab.run("status", "--json"))[0]["faults"] == []
    plan.write_text("random: {share: 100%, kinds: [{fault: bmc-lies, expect: power}]}\n")
    assert lab.run("fault", "--plan", str(plan), "--seed", "3") == "node-1: bmc-lies, expected: power\n"
    assert "Up/On" in lab.run("power", "node-1", "on") and lab.power() == "off"
    assert lab.run("fault", "--mend") == "node-1: bmc-lies off\n"
    assert "is off" in lab.run("power", "node-1", "status")


def test_two_labs_side_by_side(labs: tuple[Lab, Lab]) -> None:
    first, second = labs
    first.up()
    second.up()
    first.run("power", "node-1", "on")
    assert (first.power(), second.power()) == ("on", "off")
    first.down()
    first.assert_gone()
    first.down()
    assert "is off" in second.run("power", "node-1", "status")


def test_up_refuses_a_lab_that_is_up(labs: tuple[Lab, Lab]) -> None:
    lab = labs[0]
    lab.up()
    with lab.start() as again:
        _, err = again.communicate(timeout=60)
    assert again.returncode == 3
    assert "is up already" in err
    assert "is off" in lab.run("power", "node-1", "status")


def test_down_leaves_the_processes_of_others_alone(labs: tuple[Lab, Lab]) -> None:
    lab = labs[0]
    lab.up()
    other = subprocess.Popen([*KALAB, "exec", *lab.options, "--", "sleep", "60"])
    with other:
        comm = Path(f"/proc/{other.pid}/comm")
        until(lambda: comm.read_text() == "sleep\n", "the other process does not run")
        lab.down()
        assert other.poll() is None
        other.kill()


@both_drivers
def test_the_firmware_boots_from_the_network_only_without_the_fault(labs: tuple[Lab, Lab]) -> None:
    lab = labs[0]
    lab.up()
    lab.run("power", "node-1", "on")
    await_console(lab, "boot.ipxe... ok")
    await_console(lab, "No bootable device")  # the disk is empty; from here on it is silent for a minute
    lab.run("fault", "node-1", "no-boot", "on")
    (lab.state / "nodes" / "node-1" / "console.log").write_text("")
    lab.run("power", "node-1", "reset")
    await_console(lab, "No bootable device")
    record = lab.run("console", "--log", "node-1")
    assert "boot.ipxe" not in record
    assert "Hard Disk" not in record


@pytest.mark.parametrize(
    "file", ["journal.jsonl", "lab.json", "nodes/node-1/chassis", "config/lab.conf", "dnsmasq.pid"]
)
def test_killed_up_leaves_nothing_after_down(labs: tuple[Lab, Lab], file: str) -> None:
    lab = labs[0]
    with lab.start(count=6) as process:
        until((lab.state / file).exists, f"{file} does not appear")
        process.kill()
    lab.down()
    lab.assert_gone()


def test_up_clears_what_a_killed_up_has_left(labs: tuple[Lab, Lab]) -> None:
    lab = labs[0]
    with lab.held_up() as process:
        process.kill()
    assert lab.up().startswith("export KADEPLOY_CONFIG_DIR=")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_up_clears_itself(labs: tuple[Lab, Lab], number: signal.Signals) -> None:
    lab = labs[0]
    with lab.held_up() as process:
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    lab.assert_gone()


@contextlib.contextmanager
def kept_open(fifo: Path) -> Iterator[None]:
    """Begins when somebody reads from this named pipe; he gets nothing until the end."""
    found: list[int] = []

    def has_reader() -> bool:
        with contextlib.suppress(OSError):  # ENXIO: nobody reads yet
            found.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        return bool(found)

    until(has_reader, "kalab does not ask its BMCs")
    try:
        yield
    finally:
        os.close(found[0])


def await_power(lab: Lab, power: str) -> None:
    until(lambda: lab.power() == power, f"its power is never {power}")


def await_console(lab: Lab, text: str) -> None:
    until(lambda: text in lab.run("console", "--log", "node-1"), f"no '{text}' on its console")


def until(done: Callable[[], bool], message: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, message
        time.sleep(0.02)
