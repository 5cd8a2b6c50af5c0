# SPDX-License-Identifier: Apache-2.0
"""The administrator's post-install on images whose files are links, or have no end of line."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from .conftest import Node, make_node

pytestmark = pytest.mark.needs("mkfs.ext4", "ssh-keygen")


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return make_node(tmp_path, "vda", "")


def run_well(node: Node, said: str = "") -> None:
    result = node.run()
    assert result.returncode == 0, result.stderr
    assert said in result.stderr and bool(said) == bool(result.stderr)


@pytest.mark.parametrize("target", ["/data/hostname", "../data/hostname", "../../../../data/hostname"])
def test_a_link_leads_to_a_file_in_the_image(node: Node, target: str) -> None:
    (node.root / "etc/hostname").symlink_to(target)
    for _ in range(2):
        run_well(node)
        assert node.read("data/hostname") == "node-1\n"
    assert (node.root / "etc/hostname").readlink() == Path(target)


def test_the_directory_itself_may_be_a_link(node: Node) -> None:
    (node.root / "etc").rename(node.root / "system")
    (node.root / "etc").symlink_to("/system")
    (node.root / "system/ssh").rename(node.root / "keys")
    (node.root / "system/ssh").symlink_to("/keys")
    run_well(node)
    assert node.read("system/hostname") == "node-1\n"
    assert "DHCP=ipv4" in node.read("system/systemd/network/10-kadeploy.network")
    assert (node.root / "keys/ssh_host_ed25519_key").stat().st_mode & 0o777 == 0o600
    assert not (node.root / "keys/ssh_host_rsa_key").exists()


def test_no_file_outside_is_written(node: Node, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("of the miniOS")
    for name in ("hostname", "hosts", "fstab", "machine-id", "default/grub.d/kadeploy.cfg", "inittab"):
        (node.root / "etc" / name).parent.mkdir(parents=True, exist_ok=True)
        (node.root / "etc" / name).symlink_to(outside)
    run_well(node)
    assert outside.read_text() == "of the miniOS"


@pytest.mark.parametrize(
    ("hosts", "end"),
    [
        (b"10.0.0.9\tfriend", b"10.0.0.9\tfriend\n"),
        (b"10.0.0.8\ta\r\n10.0.0.9\tfriend", b"10.0.0.8\ta\r\n10.0.0.9\tfriend\n"),
        (b"10.0.0.9\tfriend\n127.0.1.1\told\r\n", b"10.0.0.9\tfriend\n"),
        (b"127.0.1.1 old", b""),
        (b" ", b" \n"),
        (b"", b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n"),
    ],
)
def test_lines_of_hosts(node: Node, hosts: bytes, end: bytes) -> None:
    (node.root / "etc/hosts").write_bytes(hosts)
    for _ in range(2):
        run_well(node)
        found = (node.root / "etc/hosts").read_bytes()
        assert found == end + b"127.0.1.1\tnode-1.lab.example node-1\n"


def test_lines_of_inittab(node: Node) -> None:
    (node.root / "etc/inittab").write_text("id:2:initdefault:")
    for _ in range(2):
        run_well(node)
        assert node.read("etc/inittab").splitlines() == [
            "id:2:initdefault:",
            "KS:2345:respawn:/sbin/getty -L ttyS0 115200 vt100",
        ]


def test_another_name_of_a_file_keeps_its_content(node: Node) -> None:
    (node.root / "etc/hosts").write_text("10.0.0.9\tfriend\n")
    (node.root / "etc/hosts.orig").hardlink_to(node.root / "etc/hosts")
    run_well(node)
    assert node.read("etc/hosts.orig") == "10.0.0.9\tfriend\n"


def test_a_file_that_the_system_makes_itself_is_left_alone(node: Node) -> None:
    (node.root / "etc/hosts").symlink_to("/run/hosts")
    run_well(node, "/etc/hosts of the image leads to /run/hosts, which the system makes when it starts")
    assert (node.root / "etc/hosts").is_symlink() and not (node.root / "run/hosts").exists()


@pytest.mark.parametrize("kind", ["to etc", "to dbus", "two files", "none"])
def test_machine_ids_are_one(node: Node, kind: str) -> None:
    ours, theirs = node.root / "etc/machine-id", node.root / "var/lib/dbus/machine-id"
    theirs.parent.mkdir(parents=True)
    if kind == "to etc":
        theirs.symlink_to("/etc/machine-id")
    elif kind == "to dbus":
        theirs.write_text("old\n")
        ours.symlink_to("/var/lib/dbus/machine-id")
    elif kind == "two files":
        for path in (ours, theirs):
            path.write_text("old\n")
    run_well(node)
    real = theirs if kind == "to dbus" else ours
    assert re.fullmatch("[0-9a-f]{32}\n", real.read_text()) and not real.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o444
    if kind in ("to etc", "two files"):
        assert theirs.readlink() == Path("/etc/machine-id")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("etc/hosts", "/etc/hosts of the image is a directory, not a file"),
        ("etc/hostname", "/etc/hostname of the image is a directory, not a file"),
    ],
)
def test_what_is_no_file_is_named(node: Node, path: str, sentence: str) -> None:
    (node.root / path).mkdir()
    result = node.run()
    assert (result.returncode, result.stderr) == (1, f"admin post-install: {sentence}\n")


def test_a_loop_of_links_is_named(node: Node) -> None:
    (node.root / "etc/hosts").symlink_to("hosts")
    result = node.run()
    assert result.returncode == 1
    assert result.stderr == "admin post-install: /etc/hosts of the image is a loop of symbolic links\n"


def test_a_minios_without_python_gets_a_sentence(node: Node, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "dirname"):
        (programs / name).symlink_to(shutil.which(name) or "")
    result = node.run(PATH=str(programs))
    assert result.returncode == 1
    assert "the miniOS has no python3" in result.stderr
