# SPDX-License-Identifier: Apache-2.0
"""A small configuration directory, and commands run in it as a user runs them."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from kadeploy.store.store import Store

SERVER = """\
database: {name: store/kadeploy.sqlite}
rights: {almighty_users: "root, deploy"}
network: {server_address: 127.0.0.1, ports: {ssh: 1}}
pxe: {dhcp: {repository: pxe}}
cache: {directory: cache, size: 100}
"""

CLUSTERS = """\
clusters:
  - name: test
    conf_file: test.conf
    nodes:
      - {name: "node-[1-4]", address: "127.0.1.[1-4]"}
"""

CLUSTER = """\
partitioning:
  block_device: /dev/vda
  layout: [{name: deploy, number: 3, size: rest}]
boot:
  kernels:
    deploy: {vmlinuz: vmlinuz, initrd: initrd, host_key: host_key.pub}
remoteops:
  reboot: [{name: hard, cmd: "true HOSTNAME_FQDN"}]
"""

Command = Callable[..., "subprocess.CompletedProcess[str]"]

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without content, for making one takes longer than most tests."""
    path = tmp_path_factory.mktemp("store") / "kadeploy.sqlite"

    async def create() -> None:
        async with Store.open(path):
            pass

    asyncio.run(create())
    return path


@pytest.fixture
def configuration(tmp_path: Path, empty_store: Path) -> Path:
    """A configuration directory that ``kadeploy.config.site.load`` accepts; its store is below it."""
    directory = tmp_path / "etc"
    directory.mkdir()
    for name, text in (("server.conf", SERVER), ("clusters.conf", CLUSTERS), ("test.conf", CLUSTER)):
        (directory / name).write_text(text)
    (directory / "store").mkdir()
    shutil.copy2(empty_store, directory / "store")
    return directory


@pytest.fixture
def command(configuration: Path, tmp_path: Path) -> Command:
    """Runs a command of this project in a process of its own: ``command("kaenv", "-l")``."""

    def run(
        name: str,
        *arguments: str | Path,
        text: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name(name)
        environment = {
            "PATH": os.environ["PATH"],
            "KADEPLOY_CONFIG_DIR": str(configuration),
            "PYTHONPATH": str(CHECKOUT),  # whichever checkout the programs were installed from
            "PYTHONWARNINGS": "error",
            "TZ": "UTC",
            **(variables or {}),
        }
        return subprocess.run(
            [program, *arguments],
            input=text,
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
            timeout=30,
        )

    return run
