# SPDX-License-Identifier: Apache-2.0
"""kadeploy-boot as a process, and what can be seen of it from outside."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from kadeploy.boot.answers import ProfileAnswers
from kadeploy.boot.http import Content, Record
from kadeploy.boot.order_store import OrderStore
from kadeploy.boot.repository import BootRepository
from kadeploy.config.server import Network, NetworkBoot

STORE = "kadeploy.sqlite"
CODE = "from kadeploy.cli.kadeploy_boot import main; main()"

_CLUSTERS = """\
clusters: [{name: c, conf_file: c.conf, nodes: [
  {name: "n-[1-2]", address: "172.31.0.[11-12]"}, {name: "m-[1-200]", address: "127.0.1.[1-200]"}]}]
"""
_CLUSTER = """\
partitioning: {block_device: /dev/vda, layout: [{name: deploy, number: 1, size: rest}]}
boot: {kernels: {deploy: {vmlinuz: a, initrd: b}}}
remoteops: {reboot: [{cmd: "true"}]}
"""


def configure(directory: Path, network: Network, export: str = "http") -> Path:
    """The smallest site there is; its repository is ``directory/boot``."""
    server = (
        f"network: {{server_address: 127.0.0.1, ports: {{http: {network.ports.http},"
        f" tftp: {network.ports.tftp}}}}}\npxe: {{dhcp: {{repository: {directory}/boot,"
        f" export: {{kind: {export}}}}}}}\n"
        f"database: {{name: {directory}/{STORE}}}\n"
    )
    for name, text in (("server.conf", server), ("clusters.conf", _CLUSTERS), ("c.conf", _CLUSTER)):
        (directory / name).write_text(text)
    return directory


@contextmanager
def running(directory: Path, *before: str) -> Iterator[subprocess.Popen[str]]:
    """The service, ready, with these words before its command; killed at the end where it still runs."""
    argv = [*before, sys.executable, "-P", "-c", CODE, "--config-dir", str(directory)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert line.startswith(f"serving {directory}/boot on 127.0.0.1"), line
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def serve_content(repository: Path, network: Network, record: Record) -> AsyncIterator[Content]:
    """What HTTP serves of a repository, and of the store beside it."""
    boot = NetworkBoot.model_validate({"repository": repository})
    async with OrderStore(repository.parent / STORE) as store:
        answers = ProfileAnswers(BootRepository(repository, boot, network), store)
        yield Content(repository=repository, answers=answers, record=record, problem=no_problem)


async def no_problem() -> str:
    return ""


def tftp_children(port: int) -> list[int]:
    """Processes that serve TFTP on this port."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it ended meanwhile
            if b"kadeploy.boot.tftp" in words and str(port).encode() in words:
                found.append(int(entry.name))
    return found


def wait_until_gone(port: int) -> None:
    deadline = time.monotonic() + 5
    while tftp_children(port):
        assert time.monotonic() < deadline
        time.sleep(0.02)
