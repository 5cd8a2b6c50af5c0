# SPDX-License-Identifier: Apache-2.0
"""A lab as its user has it: the commands, and ssh into the nodes."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.benchmark import CHECKOUT as CHECKOUT
from benchmarks.lab import DEBIAN, FLEET, CommandFailed, Lab
from benchmarks.lab import DEPLOY_ENV as DEPLOY_ENV
from benchmarks.lab import PROGRAMS as PROGRAMS
from kadeploy.store import minios_boots, node_states
from kadeploy.store.store import Store

DESCRIPTION, FLEET_DESCRIPTION = DEBIAN, FLEET
SETTLE = 0.5  # seconds: the tests that are about it choose their own
MARK = "KADEPLOY_TEST_RUN"  # in the environment of a command and of all that it starts

# What a node says of itself, as JSON.
_LOOK = """
. /etc/os-release
printf '{"name": "%s", "system": "%s", "root": "%s", "boot": "%s", "motd": "%s"}\\n' \\
    "$(hostname)" "$ID$VERSION_ID" "$(findmnt -no SOURCE /)" "$(cat /proc/sys/kernel/random/boot_id)" \\
    "$(head -n 1 /etc/motd)"
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a node said of itself; ``boot`` is the kernel's boot_id, another one after each boot."""

    name: str
    system: str
    root: str
    boot: str
    motd: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a deployment ended. ``ok`` and ``ko`` are the lines of the files of -o and -n."""

    status: int
    log: str
    errors: str
    ok: list[str]
    ko: list[str]

    def __str__(self) -> str:
        return f"exit status {self.status}\n{self.log}\n{self.errors}"

    @property
    def causes(self) -> dict[str, str]:
        """The class of each node that failed, from the evidence on standard error."""
        return dict(re.findall(r"^(\S+): \[([^]]*)\] ", self.errors, flags=re.MULTILINE))

    def reasons(self, list_name: str) -> dict[str, str]:
        """What stands in parentheses behind each node of a list of the summary, such as 'failed'."""
        lines = iter(self.log.splitlines())
        for line in lines:
            if line == f"The deployment {list_name} on nodes":
                break
        found = {}
        for line in lines:
            node, separator, reason = line.partition(" (")
            if not separator:
                break
            found[node] = reason.removesuffix(")")
        return found


@dataclass(slots=True)
class Run:
    """A kadeploy that runs, with its output in files below ``directory``."""

    process: subprocess.Popen[bytes]
    directory: Path
    mark: str

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def wait_for(self, text: str, seconds: float, *, after: str = "") -> None:
        """Wait until the log has this text, behind another one."""

        def seen() -> bool:
            ended = self.process.poll() is not None
            found = text in self.log.partition(after)[2] if after else text in self.log
            assert found or not ended, f"ended without '{text}':\n{self.log}"
            return found

        until(seen, seconds, lambda: f"no '{text}' in\n{self.log}")

    def interrupt(self, number: signal.Signals) -> None:
        """What Ctrl-C does with SIGINT, and a batch scheduler with SIGTERM."""
        self.process.send_signal(number)

    def outcome(self, seconds: float) -> Outcome:
        """Wait for its end."""
        try:
            status = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"not over after {seconds} s:\n{self.log}") from None
        ok, ko = (self._lines(name) for name in ("ok", "ko"))
        return Outcome(status, self.log, (self.directory / "errors").read_text(), ok, ko)

    def _lines(self, name: str) -> list[str]:
        """Lines of a result file; none where it was refused, as files are made when the nodes begin."""
        path = self.directory / name
        return path.read_text().splitlines() if path.exists() else []

    def end(self) -> None:
        """End it by force if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def left_processes(self) -> list[str]:
        """Command lines of all that it has started and that runs."""
        wanted, found = f"{MARK}={self.mark}".encode(), []
        for process in Path("/proc").iterdir():
            try:
                if process.name.isdigit() and wanted in (process / "environ").read_bytes().split(b"\0"):
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue  # it has ended meanwhile
        return found


@dataclass
class Laboratory(Lab):
    """A lab that is up, and the deployments that were started in it."""

    emulated: bool = True  # the nodes are QEMU machines, else containers
    runs: list[Run] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)  # of each node, when the lab is up

    def up(self, count: int, *options: str) -> None:
        """Bring it up, with the environments recorded that were built, and a key for the user."""
        self.environments = [path for path in (DESCRIPTION, FLEET_DESCRIPTION) if path.exists()]
        super().up(count, *options)
        self.change_cluster(lambda content: content["verify"].update(settle=SETTLE))
        self.addresses = {node.name: node.address for node in self.plan.nodes}

    def down(self) -> None:
        for run in self.runs:
            run.end()
        super().down()

    @property
    def boot_seconds(self) -> int:
        """What a boot into the deployed system may take, and not much more."""
        return 120 if self.emulated else 30

    def deploy(
        self, nodes: str, *options: str, program: Sequence[str | Path] = (PROGRAMS / "kadeploy",)
    ) -> Run:
        """Start kadeploy, or a program that stands for it, on nodes, with the user's key."""
        directory = Path(tempfile.mkdtemp(prefix="run-", dir=self.directory))
        files = ["-o", "ok", "-n", "ko", "--output-known-hosts", "known_hosts"]
        argv = [*program, "-m", nodes, "-V", "5"]
        if "--resume" not in options:
            argv += ["-k", str(self.directory / "key.pub")]
        mark = uuid.uuid4().hex
        with (directory / "log").open("wb") as log, (directory / "errors").open("wb") as errors:
            process = subprocess.Popen(
                [*argv, *files, *options],
                cwd=directory,
                env={**self.environment, MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=errors,
                start_new_session=True,
            )
        run = Run(process, directory, mark)
        self.runs.append(run)
        return run

    def ssh(self, node: str, known_hosts: Path, key: Path, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script on a node, if the node has one of the known host keys."""
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "10",
            "GlobalKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(known_hosts),
        }
        arguments = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        argv = ["ssh", "-F", "none", "-i", str(key), *arguments, f"root@{self.addresses[node]}", "sh", "-s"]
        return subprocess.run(
            [str(PROGRAMS / "kalab"), "exec", "--name", self.name, "--", *argv],
            input=script,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def minios_hosts(self, node: str) -> Path:
        """A known_hosts file with the key of the miniOS that a node has booted last."""
        path = self.directory / f"minios-{node}"
        path.write_text(f"{self.addresses[node]} {self.minios_key(node)}\n")
        return path

    def minios_key(self, node: str) -> str:
        """Public host key of the miniOS that a node has booted last, from the store."""

        async def read() -> str:
            async with Store.open(self.plan.store) as store:
                return (await minios_boots.read(store, [node]))[node].host_key

        return asyncio.run(read())

    def facts(self, run: Run, node: str) -> Facts:
        """What a node says of itself; it must have a host key that the run has verified."""
        done = self.ssh(node, run.directory / "known_hosts", self.directory / "key", _LOOK)
        assert done.returncode == 0, f"{node}: {done.stderr}"
        return Facts(**json.loads(done.stdout))

    def cycle(self, run: Run, node: str) -> None:
        """Cut a deployed node's power; it must come back into the deployed system."""
        before = self.facts(run, node)
        self.kalab("power", node, "cycle")
        self.wait_for_boot(run, node, before.boot, 300)
        self.assert_deployed(run, node)

    def assert_deployed(self, run: Run, *nodes: str, root: str = "/dev/vda4") -> None:
        """Each of the nodes runs the deployed system from its disk, and lets the user in."""
        for node in nodes:
            facts = self.facts(run, node)
            assert (facts.name, facts.system, facts.root) == (node, "debian12", root)

    def wait_for_boot(self, run: Run, node: str, other_than: str, seconds: float) -> Facts:
        """Wait until a node answers from another boot than this one."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                facts = self.facts(run, node)
                if facts.boot != other_than:
                    return facts
            except (AssertionError, CommandFailed, subprocess.TimeoutExpired):
                if time.monotonic() > deadline:
                    raise
            assert time.monotonic() < deadline, f"{node} has not been booted again"
            time.sleep(1)

    def wait_for_power(self, node: str, power: str) -> None:
        """Wait until a node is on or off."""

        def reached() -> bool:
            status = json.loads(self.kalab("status", "--json"))
            return any((entry["name"], entry["power"]) == (node, power) for entry in status)

        until(reached, 30, lambda: f"{node} is not {power}")

    @contextmanager
    def fault(self, node: str, kind: str) -> Iterator[None]:
        """A node is broken meanwhile."""
        self.kalab("fault", node, kind, "on")
        try:
            yield
        finally:
            self.kalab("fault", node, kind.partition("=")[0], "off")

    @contextmanager
    def slow_link(self, node: str) -> Iterator[None]:
        """An image comes to a node within half a minute meanwhile. Emulated machines take as long anyhow."""
        if self.emulated:
            yield
            return
        with self.fault(node, "slow-link=20mbit"):
            yield

    def received(self, node: str) -> int:
        """Bytes that have gone to a node since its lab is up."""
        tap = f"tap{node.removeprefix('node-')}"
        shown: list[dict[str, Any]] = json.loads(
            self.kalab("exec", "--", "ip", "-j", "-s", "link", "show", tap)
        )
        return int(shown[0]["stats64"]["tx"]["bytes"])

    @contextmanager
    def hidden_boot_files(self, pattern: str) -> Iterator[None]:
        """Some files of the boot repository are not served meanwhile."""
        files = list(self.plan.repository.glob(pattern))
        assert files, f"no {pattern} in the boot repository"
        hidden = {file: file.rename(file.with_name(f".{file.name}")) for file in files}
        try:
            yield
        finally:
            for file, place in hidden.items():
                place.rename(file)

    def node_states(self, *nodes: str) -> list[str]:
        """The states of nodes in the store."""

        async def read() -> list[str]:
            async with Store.open(self.plan.store) as store:
                known = await node_states.read(store, nodes)
            return [str(known[node].state) for node in nodes]

        return asyncio.run(read())

    def describe(self, file: str, **changes: object) -> Path:
        """A description of the environment with other fields, in a file."""
        content = yaml.safe_load(DESCRIPTION.read_text()) | changes
        path = self.directory / file
        path.write_text(yaml.safe_dump(content))
        return path


def image_description() -> dict[str, Any]:
    """The field image of the environment's description."""
    image: dict[str, Any] = yaml.safe_load(DESCRIPTION.read_text())["image"]
    return image


def until(done: Callable[[], bool], seconds: float, message: Callable[[], str]) -> None:
    """Wait until something is done."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, message()
        time.sleep(0.1)
