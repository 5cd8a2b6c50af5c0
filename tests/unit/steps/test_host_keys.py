# SPDX-License-Identifier: Apache-2.0
"""The script that reads, or makes, the ssh host keys of the system on a node's new disk."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kadeploy.disks.partitions import host_keys_script
from kadeploy.remote import hostkey
from tests.rooted import launcher

pytestmark = pytest.mark.needs("ssh-keygen")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc/ssh").mkdir(parents=True)
    return tmp_path


def read(root: Path) -> list[str]:
    result = subprocess.run(
        [*launcher(), "sh", "-s", "/dev/none", root],
        input=host_keys_script(),
        capture_output=True,
        check=True,
        timeout=30,
    )
    return result.stdout.decode().splitlines()


def make_key(root: Path, kind: str) -> str:
    path = root / f"etc/ssh/ssh_host_{kind}_key"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def install_sshd(root: Path) -> None:
    (root / "usr/sbin").mkdir(parents=True)
    (root / "usr/sbin/sshd").write_text("#!/bin/sh\n")
    (root / "usr/sbin/sshd").chmod(0o755)


def test_keys_of_the_image_are_read(root: Path) -> None:
    keys = {make_key(root, "ed25519"), make_key(root, "ecdsa")}
    assert set(read(root)) == keys


def test_keys_are_made_where_there_is_an_ssh_server_without_any(root: Path) -> None:
    install_sshd(root)
    made = read(root)
    assert [key.split()[0] for key in made] == ["ecdsa-sha2-nistp256", "ssh-ed25519"]
    assert read(root) == made, "a second time nothing changes"
    assert (root / "etc/ssh/ssh_host_ed25519_key").stat().st_mode & 0o777 == 0o600


def test_a_public_key_alone_proves_nothing(root: Path) -> None:
    old = make_key(root, "ed25519")
    (root / "etc/ssh/ssh_host_ed25519_key").unlink()
    assert read(root) == []
    install_sshd(root)
    assert old not in read(root) and len(read(root)) == 2


def test_no_ssh_server_no_keys(root: Path) -> None:
    assert read(root) == []


def test_broken_keys_of_an_image_are_passed_over() -> None:
    assert hostkey.readable_keys(["", "garbage", "ssh-ed25519 AAAA", "ssh-foo AAAA"]) == []
