# SPDX-License-Identifier: Apache-2.0
"""A small configuration directory, and commands run in it as a user runs them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.stores import write_store
from tests.unit.cli import program

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
    deploy: {vmlinuz: vmlinuz, initrd: initrd}
remoteops:
  reboot: [{name: hard, cmd: "true HOSTNAME_FQDN"}]
"""

Command = Callable[..., program.Completed]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("store") / "kadeploy.sqlite")


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
    """Calls a command of this project, in this process: ``command("kaenv", "-l")``."""
    return _caller(program.call, configuration, tmp_path)


@pytest.fixture
def process(configuration: Path, tmp_path: Path) -> Command:
    """Runs a command of this project in a process of its own, where that is what is to be seen."""
    return _caller(program.run, configuration, tmp_path)


def _caller(
    way: Callable[..., program.Completed], configuration: Path, directory: Path
) -> Callable[..., program.Completed]:
    def call(
        name: str,
        *arguments: str | Path,
        text: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> program.Completed:
        known = {"PATH": os.environ["PATH"], "KADEPLOY_CONFIG_DIR": str(configuration), "TZ": "UTC"}
        return way(name, [*map(str, arguments)], directory, known | dict(variables or {}), text)

    return call
