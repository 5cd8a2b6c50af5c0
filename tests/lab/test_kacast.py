# SPDX-License-Identifier: Apache-2.0
"""kacast between twenty container nodes in the miniOS."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .laboratory import PROGRAMS, Laboratory, until
from .test_fleet import assert_gone

pytestmark = [pytest.mark.fleet, pytest.mark.deploys(), pytest.mark.timeout(400)]

COUNT = 20
NODES = [f"node-{number}" for number in range(1, COUNT + 1)]
HOSTS = f"node-[1-{COUNT}]"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """Nodes that wait in the miniOS, and a user's files that let ssh in."""
    laboratory = Laboratory(f"t-{os.getpid()}-kacast", tmp_path_factory.mktemp("kacast"))
    try:
        laboratory.up(COUNT, "--driver", "container", "--boot-delay", "1", "--boot-spread", "1")
        key = str(laboratory.directory / "key.pub")
        hosts = laboratory.directory / "known_hosts"
        options = ["-r", "deploy_env", "-k", key, "--output-known-hosts", str(hosts)]
        laboratory.command("kareboot", "-m", HOSTS, *options, seconds=200)
        write_ssh_files(laboratory)
        yield laboratory
    finally:
        laboratory.down()
    assert_gone(laboratory)


def write_ssh_files(lab: Laboratory) -> None:
    folder = lab.directory / ".ssh"
    folder.mkdir()
    (folder / "known_hosts").write_bytes((lab.directory / "known_hosts").read_bytes())
    names = [f"Host {name}\n  HostName {address}\n" for name, address in lab.addresses.items()]
    config = "".join([*names, f"Host *\n  User root\n  IdentityFile {lab.directory / 'key'}\n"])
    (folder / "config").write_text(config)


def start(lab: Laboratory, *arguments: str | Path) -> subprocess.Popen[str]:
    """A kacast in the lab's network, by a user who has nothing but ssh."""
    environment = {name: value for name, value in os.environ.items() if name != "KADEPLOY_CONFIG_DIR"}
    return subprocess.Popen(
        ["ip", "netns", "exec", f"kalab-{lab.name}", PROGRAMS / "kacast", *arguments],
        env={**environment, "HOME": str(lab.directory)},
        cwd=lab.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def cast(lab: Laboratory, *arguments: str | Path) -> tuple[int, str, str]:
    with start(lab, *arguments) as process:
        stdout, stderr = process.communicate(timeout=120)
    return process.returncode, stdout, stderr


def on_node(lab: Laboratory, node: str, script: str) -> str:
    done = lab.ssh(node, lab.minios_hosts(node), lab.directory / "key", script)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def data(fleet: Laboratory) -> Path:
    path = fleet.directory / "data"
    path.write_bytes(random.Random(3).randbytes(20 << 20))
    return path


def test_a_file_on_twenty_nodes(fleet: Laboratory, data: Path) -> None:
    began = time.monotonic()
    status, said, errors = cast(fleet, data, "-m", HOSTS, "--to", "/tmp/data", "--json", "-o", "ok")
    print(f"20 MiB on {COUNT} nodes: {time.monotonic() - began:.1f} s")
    assert status == 0, errors
    assert [node["phase"] for node in json.loads(said)["nodes"]] == ["ok"] * COUNT
    assert (fleet.directory / "ok").read_text().split() == NODES
    [digest] = {node["sha256"] for node in json.loads(said)["nodes"]}
    look = "sha256sum /tmp/data; ls -A /tmp | grep -c '^[.]data' || :"
    with ThreadPoolExecutor(4) as threads:
        shown = threads.map(lambda node: on_node(fleet, node, look), NODES)
        assert set(shown) == {f"{digest}  /tmp/data\n0\n"}


def test_a_node_that_dies_meanwhile(fleet: Laboratory, data: Path) -> None:
    taking = ["--", "sh", "-c", "sleep 4; exec cat >/tmp/late"]
    with start(fleet, data, "-m", HOSTS, "-n", "ko", "--window", "1", *taking) as process:
        until(lambda: runs(fleet, "node-7", "python3 -ISc"), 60, lambda: "the relays do not start")
        fleet.kalab("power", "node-7", "off")
        process.communicate(timeout=120)
    assert process.returncode == 1
    assert (fleet.directory / "ko").read_text().split() == ["node-7"]
    for node in ("node-6", "node-8", NODES[-1]):
        assert on_node(fleet, node, "cmp /tmp/data /tmp/late && rm /tmp/late && echo same") == "same\n"


def test_an_interrupt(fleet: Laboratory, data: Path) -> None:
    with start(fleet, data, "-m", "node-[1-5]", "--", "sh", "-c", "cat >/dev/null; sleep 999") as process:
        until(lambda: runs(fleet, "node-5", "sleep 999"), 60, lambda: "nothing runs")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    for node in NODES[:5]:
        for command in ("python3 -ISc", "sleep 999"):  # the relay has a moment to clear up
            until(lambda: not runs(fleet, node, command), 10, lambda: f"{command} runs on {node}")  # noqa: B023


def runs(lab: Laboratory, node: str, command: str) -> bool:
    """Whether the command line of a process on a node has this in it."""
    return command in on_node(lab, node, "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
