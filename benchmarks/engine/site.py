# SPDX-License-Identifier: Apache-2.0
"""A site with one cluster of as many nodes as are wanted, and the plan of a deployment on it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from kadeploy.config import site as configuration
from kadeploy.environments import description
from kadeploy.operations.deploy.plan import DeploymentPlan, Planner
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.simulation import file
from kadeploy.simulation.file import SimulationFile
from kadeploy.simulation.nodes import resize
from kadeploy.store.store import Store

SERVER = """\
database: {name: store.sqlite}
network: {server_address: 127.0.0.1}
pxe: {dhcp: {repository: boot}}
cache: {directory: cache}
windows: {reboot: {size: 100}}
"""
CLUSTERS = """\
clusters:
  - {name: big, conf_file: big.conf, nodes: [{name: node-1, address: 127.0.1.1}]}
"""
CLUSTER = """\
partitioning:
  block_device: /dev/sda
  layout:
    - {name: swap, number: 1, size: 1GiB}
    - {name: deploy, number: 3, size: 20GiB}
boot: {kernels: {deploy: {vmlinuz: vmlinuz, initrd: initrd}}}
remoteops: {reboot: [{name: hard, cmd: "true HOSTNAME_FQDN"}]}
automata:
  macrosteps:
    SetDeploymentEnv: [{type: Untrusted, retries: 2, timeout: 900}]
    BroadcastEnv: [{type: Chain, retries: 2, timeout: 1000 + n / 10}]
    BootNewEnv: [{type: Classical, retries: 0, timeout: 900}, {type: HardReboot, retries: 1, timeout: 900}]
"""
ENVIRONMENT = """\
name: debian
os: linux
image: {file: IMAGE, kind: tar, compression: gzip}
filesystem: ext4
boot: {kernel: /vmlinuz}
"""
# Two of a hundred runs of what takes longest in each macro-step fail; of the boots half of them hang.
BEHAVIOUR = """\
steps:
  wait_reboot: {failures: 0.01, hangs: 0.01}
  send_environment: {failures: 0.02}
  sync: {failures: 0.02}
"""


def write(directory: Path) -> None:
    """The files of the site; the keys are made for it."""
    texts = {"server.conf": SERVER, "clusters.conf": CLUSTERS, "big.conf": CLUSTER}
    for name, text in {**texts, "vmlinuz": "kernel", "initrd": "initrd", "behaviour.yaml": BEHAVIOUR}.items():
        (directory / name).write_text(text)
    (directory / "keys").mkdir()
    key = directory / "keys" / "id_deploy"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    subprocess.run(["tar", "-czf", directory / "image.tar.gz", "-C", directory, "vmlinuz"], check=True)


async def plan(directory: Path, nodes: int) -> DeploymentPlan:
    """The plan for so many nodes like the one that the site has."""
    site = configuration.load(directory)
    text = ENVIRONMENT.replace("IMAGE", str(directory / "image.tar.gz"))
    environment = description.parse(text, "debian.yaml").environment("root")
    request = DeploymentRequest(user="root", nodes=("node-1",), environment=environment)
    async with Store.open(directory / "store.sqlite") as store:
        planned = await Planner(site, store, lambda *_: None).plan(request)
    return resize(planned, nodes)


def behaviour(directory: Path) -> SimulationFile:
    """The behaviour of the nodes."""
    return file.load(directory / "behaviour.yaml")
