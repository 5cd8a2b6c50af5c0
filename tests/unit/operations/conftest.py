# SPDX-License-Identifier: Apache-2.0
"""A site with everything that a plan needs, and no machine behind it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kadeploy.config import site as configuration
from kadeploy.config.site import Site
from kadeploy.environments import description
from kadeploy.environments.environment import Environment
from kadeploy.operations.plan import DeploymentPlan, Planner
from kadeploy.operations.request import DeploymentRequest
from kadeploy.store.store import Store

SERVER = """\
database: {name: store.sqlite}
network: {server_address: 127.0.0.1, ports: {ssh: 1}}
pxe: {dhcp: {repository: boot}}
cache: {directory: cache}
"""
CLUSTERS = """\
clusters:
  - {name: red, conf_file: red.conf, nodes: [{name: "red-[1-3]", address: "127.0.1.[1-3]"}]}
  - {name: blue, conf_file: blue.conf, nodes: [{name: "blue-[1-2]", address: "127.0.1.[11-12]"}]}
"""
CLUSTER = """\
partitioning:
  block_device: /dev/sda
  layout:
    - {name: swap, number: 1, size: 1GiB}
    - {name: deploy, number: 3, size: 20GiB}
    - {name: tmp, number: 5, size: rest}
boot: {kernels: {user: {params: quiet}, deploy: {vmlinuz: vmlinuz, initrd: initrd, host_key: host.pub}}}
remoteops: {reboot: [{name: hard, cmd: "true HOSTNAME_FQDN"}]}
"""
ENVIRONMENT = """\
name: debian
os: linux
image: {file: IMAGE, kind: tar, compression: gzip}
filesystem: ext4
boot: {kernel: /vmlinuz, kernel_params: console=ttyS0}
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("site")
    files = {"server.conf": SERVER, "clusters.conf": CLUSTERS, "red.conf": CLUSTER, "blue.conf": CLUSTER}
    for name, text in {
        **files,
        "vmlinuz": "kernel",
        "initrd": "initrd",
    }.items():
        (path / name).write_text(text)
    (path / "keys").mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path / "keys/id_deploy"], check=True)
    (path / "host.pub").write_bytes((path / "keys/id_deploy.pub").read_bytes())
    subprocess.run(["tar", "-czf", path / "image.tar.gz", "-T", "/dev/null"], check=True)
    return path


@pytest.fixture
def site(directory: Path, tmp_path: Path) -> Site:
    """The site, with a store of its own for each test."""
    found = configuration.load(directory)
    database = found.server.database.model_copy(update={"name": tmp_path / "store.sqlite"})
    return replace(found, server=found.server.model_copy(update={"database": database}))


@pytest.fixture
def environment(directory: Path) -> Environment:
    text = ENVIRONMENT.replace("IMAGE", str(directory / "image.tar.gz"))
    return description.parse(text, "debian.yaml").environment("root")


MakePlan = Callable[..., Any]


@pytest.fixture
def make_plan(site: Site, environment: Environment) -> MakePlan:
    """``await make_plan(store, "red-1", partition=5)`` is a checked plan."""

    async def make(store: Store, *nodes: str, **settings: Any) -> DeploymentPlan:
        wanted = settings.pop("environment", environment)
        request = DeploymentRequest(user="alice", nodes=nodes, environment=wanted, **settings)
        return await Planner(site, store, lambda *_: None).plan(request, lambda _: None)

    return make
