# SPDX-License-Identifier: Apache-2.0
"""An image all of whose files are somewhere else, by links: installed, booted, and logged in to."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from .laboratory import FLEET_DESCRIPTION, Laboratory

pytestmark = [pytest.mark.fleet, pytest.mark.deploys("fleet-min"), pytest.mark.timeout(300)]

ADMIN = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDxkZmFrZWZha2VmYWtlZmFrZWZha2VmYWtlZmFrZTEy admin@site"


def move(root: Path, path: str, target: str) -> None:
    """Let an absolute link be where a directory was."""
    (root / target).parent.mkdir(parents=True, exist_ok=True)
    (root / path).rename(root / target)
    (root / path).symlink_to(f"/{target}")


def make_image(folder: Path) -> Path:
    """A description of fleet-min with links; returns its path."""
    root, described = folder / "root", yaml.safe_load(Path(FLEET_DESCRIPTION).read_text())
    root.mkdir()
    image = Path(FLEET_DESCRIPTION).parent / described["image"]["file"]
    subprocess.run(["tar", "-I", "zstd", "-xpf", image, "--numeric-owner", "-C", root], check=True)
    move(root, "root", "home/root")
    move(root, "etc/ssh", "data/ssh")
    move(root, "boot", "data/boot")
    (root / "data/boot/grub").symlink_to("/data/grub2")
    (root / "etc/hostname").unlink(missing_ok=True)
    (root / "etc/hostname").symlink_to("/data/hostname")
    (root / "etc/hosts").write_text("10.0.0.9\tfriend")
    (root / "home/root/.ssh").mkdir(mode=0o700)
    (root / "home/root/.ssh/authorized_keys").write_text(f"# admin\n{ADMIN}")
    subprocess.run(["tar", "--numeric-owner", "-czf", folder / "image.tgz", "-C", root, "."], check=True)
    described["image"] = {"file": str(folder / "image.tgz"), "kind": "tar", "compression": "gzip"}
    described["postinstalls"] = []
    path = folder / "links.yaml"
    path.write_text(yaml.safe_dump(described))
    return path


def test_an_image_of_links(lab: Laboratory, tmp_path: Path) -> None:
    run = lab.deploy("node-1", "-a", str(make_image(tmp_path)))
    outcome = run.outcome(200)
    assert (outcome.status, outcome.ok) == (0, ["node-1"]), str(outcome)
    command = "cat /data/hostname /etc/hosts /root/.ssh/authorized_keys; ls /data/grub2/grub.cfg"
    seen = lab.ssh("node-1", run.directory / "known_hosts", lab.directory / "key", command).stdout
    lines = seen.splitlines()
    assert lines[:3] == ["node-1", "10.0.0.9\tfriend", "127.0.1.1\tnode-1"]
    assert ADMIN in lines[3:] and lines[-1] == "/data/grub2/grub.cfg"
