# SPDX-License-Identifier: Apache-2.0
"""A node's disk as real file systems in files, an unpacked image as a tree, and how a post-install is run."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.rooted import launcher

CHECKOUT = Path(__file__).parents[3]
NETWORKD = "etc/systemd/system/multi-user.target.wants/systemd-networkd.service"


def run_quietly(*arguments: str | Path) -> None:
    subprocess.run([str(argument) for argument in arguments], check=True, capture_output=True)


def make_file_system(device: Path, *command: str) -> None:
    """`device`: a sparse file of 4 MiB with what `command` (mkfs.ext4, mkswap) writes on it."""
    with device.open("wb") as file:
        file.truncate(4 << 20)
    run_quietly(*command, device)


def read_tag(device: Path, tag: str) -> str:
    result = subprocess.run(
        ["blkid", "-c", "/dev/null", "-p", "-s", tag, "-o", "value", str(device)],
        check=True,
        capture_output=True,
        text=True,
    )
    return result.stdout.strip()


@dataclass
class Node:
    """One node in the deployment environment: its disk, the image's root, the variables of the deployment."""

    disk: Path
    root: Path
    separator: str
    variables: dict[str, str] = field(default_factory=dict)
    launcher: tuple[str, ...] = ()  # the command that starts the script, where it needs one

    def partition(self, number: int) -> Path:
        return self.disk.with_name(f"{self.disk.name}{self.separator}{number}")

    def run(self, name: str = "admin", **changes: str) -> subprocess.CompletedProcess[str]:
        """Runs postinstall/`name` with the node's variables; an empty value leaves that one out."""
        variables: Mapping[str, str] = self.variables | changes
        environment = {"PATH": os.environ["PATH"]} | {key: value for key, value in variables.items() if value}
        script = CHECKOUT / "postinstall" / name / "postinstall"
        return subprocess.run(
            [*launcher(), *self.launcher, script], env=environment, capture_output=True, text=True, timeout=60
        )

    def read(self, path: str) -> str:
        return (self.root / path).read_text()


def make_node(directory: Path, disk_name: str, separator: str) -> Node:
    root = directory / "dest"
    for path in (NETWORKD, "usr/sbin/sshd", "etc/ssh/ssh_host_rsa_key", "etc/ssh/ssh_host_ed25519_key.pub"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("came with the image\n")
    node = Node(directory / disk_name, root, separator)
    make_file_system(node.partition(4), "mkfs.ext4", "-q", "-F")
    node.variables |= {
        "KADEPLOY_NODE": "node-1.lab.example",
        "KADEPLOY_CLUSTER": "lab",
        "KADEPLOY_BLOCK_DEVICE": str(node.disk),
        "KADEPLOY_DEPLOY_PART": str(node.partition(4)),
        "KADEPLOY_DEPLOY_PART_NUM": "4",
        "KADEPLOY_ENV": "debian12-min",
        "KADEPLOY_ENV_EXTRACTION_DIR": str(root),
        "KADEPLOY_ENV_KERNEL_PARAMS": "console=tty0 console=ttyS0,115200 net.ifnames=0",
    }
    return node


@pytest.fixture(params=[("vda", ""), ("nvme0n1", "p"), ("wwn-0x5000c500", "-part")], ids=lambda name: name[0])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Node:
    """A node with an ext4 deploy partition, once with each way of naming partitions."""
    return make_node(tmp_path, *request.param)
