# SPDX-License-Identifier: Apache-2.0
"""Keys that are put into an image: where they land, and why nobody would get in by them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kadeploy.disks.tree.image import FAULT

from .conftest import KEY, PASSWD, Image

OWN = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDxkZmFrZWZha2VmYWtlZmFrZWZha2VmYWtlZmFrZTEz admin@site"
USUAL = "root/.ssh/authorized_keys"


def test_keys_of_an_image_without_any(image: Image) -> None:
    assert image.add_keys(KEY, "", f"  {OWN}\r") == (0, "")
    assert (image.root / USUAL).read_text() == f"{KEY}\n{OWN}\n"
    assert (image.root / USUAL).stat().st_mode & 0o777 == 0o600
    assert (image.root / "root/.ssh").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"# admin\n{OWN}", f"# admin\n{OWN}\n{KEY}\n"),
        (f"{OWN}\n", f"{OWN}\n{KEY}\n"),
        (f"{OWN}\r\n{OWN}", f"{OWN}\r\n{OWN}\n{KEY}\n"),
        (f"{OWN}\r", f"{OWN}\r\n{KEY}\n"),
        ("", f"{KEY}\n"),
        ("   ", f"   \n{KEY}\n"),
        ("\n\n", f"\n\n{KEY}\n"),
        (f"{KEY}\n{OWN}", f"{KEY}\n{OWN}"),
        (f"{KEY}", f"{KEY}"),
        (f"# {KEY}", f"# {KEY}\n{KEY}\n"),
    ],
)
def test_a_key_is_a_line_of_its_own(image: Image, before: str, after: str) -> None:
    target = image.write(USUAL, before)
    target.parent.chmod(0o700)
    assert image.add_keys() == (0, "")
    assert target.read_bytes().decode() == after
    assert image.add_keys() == (0, "")
    assert target.read_bytes().decode() == after, "a second time nothing changes"


@pytest.mark.parametrize(
    ("link", "target", "found"),
    [
        ("root", "/home/root", "home/root/.ssh/authorized_keys"),
        ("root", "../../../home/root", "home/root/.ssh/authorized_keys"),
        ("root", "/home", "home/.ssh/authorized_keys"),
        ("root", "/data/none", "data/none/.ssh/authorized_keys"),
        ("root/.ssh", "/etc/ssh/root", "etc/ssh/root/authorized_keys"),
        (USUAL, "/etc/ssh/root_keys", "etc/ssh/root_keys"),
        (USUAL, "../../etc/ssh/../ssh/root_keys", "etc/ssh/root_keys"),
        ("etc", "/system/etc", USUAL),
    ],
)
def test_links_are_followed_in_the_image(image: Image, link: str, target: str, found: str) -> None:
    (image.root / "home").mkdir()
    (image.root / "home").chmod(0o755)
    path = image.root / link
    if link == "etc":
        (image.root / "system").mkdir()
        path.rename(image.root / "system/etc")
    elif link == "root":
        path.rmdir()
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(target)
    assert image.add_keys() == (0, "")
    assert (image.root / found).read_text() == f"{KEY}\n"
    assert not list(image.outside.parent.glob("home")) and not list(image.outside.iterdir())


def test_a_link_to_a_file_of_the_minios_is_one_in_the_image(image: Image) -> None:
    """What is there of the same name outside is not read, and not written."""
    secret = image.outside / "keys"
    secret.write_text("of the miniOS\n")
    image.write(USUAL, "").unlink()
    (image.root / USUAL).symlink_to(secret)
    image.add_keys()
    assert secret.read_text() == "of the miniOS\n"
    assert (image.root / secret.relative_to("/")).read_text() == f"{KEY}\n"


def test_another_name_of_the_file_keeps_its_content(image: Image) -> None:
    """Else a key of root would let its owner in as somebody else."""
    target = image.write(USUAL, OWN)
    other = image.root / "home/alice/.ssh/authorized_keys"
    other.parent.mkdir(parents=True)
    other.hardlink_to(target)
    assert image.add_keys() == (0, "")
    assert other.read_text() == OWN and target.read_text() == f"{OWN}\n{KEY}\n"


def test_the_home_is_that_of_the_image(image: Image) -> None:
    image.write("etc/passwd", PASSWD.replace("/root:/bin/sh", "/var/lib/admin:/bin/sh"))
    assert image.add_keys() == (0, "")
    assert (image.root / "var/lib/admin/.ssh/authorized_keys").read_text() == f"{KEY}\n"
    assert (image.root / "var/lib/admin").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("home", "found"), [("/", ".ssh"), ("/root/", "root/.ssh"), ("//root/.", "root/.ssh")]
)
def test_homes_that_are_written_otherwise(image: Image, home: str, found: str) -> None:
    image.root.chmod(0o755)
    image.write("etc/passwd", PASSWD.replace("/root:/bin/sh", f"{home}:/bin/sh"))
    assert image.add_keys() == (0, "")
    assert (image.root / found / "authorized_keys").read_text() == f"{KEY}\n"


def test_a_root_that_no_file_names(image: Image) -> None:
    (image.root / "etc/passwd").unlink()
    image.write("etc/nsswitch.conf", "passwd: files systemd\n")
    assert image.add_keys() == (0, "")
    assert (image.root / USUAL).exists()


def _mode(path: str, mode: int) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / USUAL).parent.mkdir(mode=0o700, exist_ok=True)
        (root / USUAL).touch(mode=0o600)
        (root / path).chmod(mode)

    return change


def _file(path: str, text: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)

    return change


def _link(path: str, target: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        if (root / path).is_dir():
            (root / path).rmdir()
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).symlink_to(target)

    return change


def _directory(path: str) -> Callable[[Path], None]:
    return lambda root: (root / path).mkdir(parents=True)


def _pipe(root: Path) -> None:
    (root / USUAL).parent.mkdir()
    os.mkfifo(root / USUAL)


REASONS = [
    (
        _mode("root", 0o777),
        "does not read /root/.ssh/authorized_keys: /root may be written by others than root (0777)",
    ),
    (_mode("root/.ssh", 0o770), "/root/.ssh may be written by others than root (0770)"),
    (_mode(USUAL, 0o666), "/root/.ssh/authorized_keys may be written by others than root (0666)"),
    (_directory(USUAL), "/root/.ssh/authorized_keys of the image is a directory, not a file"),
    (_pipe, "/root/.ssh/authorized_keys of the image is a named pipe, not a file"),
    (_file("root/.ssh", ""), "/root/.ssh of the image is no directory"),
    (_link("root", "root"), "/root of the image is a loop of symbolic links"),
    (_link(USUAL, "/run/keys"), "of the image leads to /run/keys, which is another one when it has booted"),
    (
        _file("etc/fstab", "/dev/vdb / ext4 defaults 0 1\nnas:/x /root/.ssh/ nfs rw 0 0\n"),
        "is covered by what its fstab mounts on /root/.ssh/",
    ),
    (_file("etc/passwd", "daemon:x:1:1::/:/bin/sh\n"), "the image has no account root in /etc/passwd"),
    (_file("etc/passwd", PASSWD.replace("/root", "")), "root has no home in /etc/passwd of the image"),
    (
        _file("etc/passwd", PASSWD.replace("/root:/bin/sh", "/root:/bin/zsh")),
        "sshd of the image does not let root in: there is no shell /bin/zsh",
    ),
    (
        _file("etc/shadow", "root:!*:19000::::::\n"),
        "sshd of the image does not let root in: its password is locked, and UsePAM is no",
    ),
]


@pytest.mark.parametrize(("change", "reason"), REASONS, ids=[reason for _, reason in REASONS])
def test_why_nobody_would_get_in(image: Image, change: Callable[[Path], None], reason: str) -> None:
    change(image.root)
    status, said = image.add_keys()
    assert (status, said.splitlines()[-1:]) == (FAULT, [said.strip()])
    assert reason in said


@pytest.mark.parametrize(
    ("release", "group", "lets_in"),
    [
        ("ID=debian\n", "root:x:0:\n", True),
        ('ID=ubuntu\nID_LIKE="debian"\n', "root:x:0:root\n", True),
        ("ID=debian\n", "root:x:0:alice\n", False),
        ("ID=fedora\n", "root:x:0:\n", False),
    ],
)
def test_a_group_of_root_alone(image: Image, release: str, group: str, lets_in: bool) -> None:
    """Debian's sshd is patched (user-group-modes.patch)."""
    (image.root / "root").chmod(0o770)
    image.write("usr/lib/os-release", release)
    image.write("etc/group", group)
    assert (image.add_keys()[0] == 0) == lets_in


@pytest.mark.root
def test_a_file_of_another_owner(image: Image) -> None:
    os.chown(image.root / "root", 1000, 1000)
    status, said = image.add_keys()
    assert status == FAULT and "/root belongs to user 1000, not to root" in said


@pytest.mark.root
def test_owner_and_mode_of_a_file_stay(image: Image) -> None:
    target = image.write(USUAL, OWN)
    target.chmod(0o640)
    os.chown(target, 0, 42)
    assert image.add_keys() == (0, "")
    assert (target.stat().st_mode & 0o777, target.stat().st_gid) == (0o640, 42)


@pytest.mark.root
def test_a_device_is_not_written(image: Image) -> None:
    (image.root / "root/.ssh").mkdir(mode=0o700)
    os.mknod(image.root / USUAL, 0o600 | 0o060000, os.makedev(7, 250))
    assert image.add_keys() == (
        FAULT,
        "/root/.ssh/authorized_keys of the image is a device, not a file\n",
    )


SETTINGS = [
    ("PermitRootLogin no", "does not let root in (PermitRootLogin no)"),
    ("permitrootlogin=forced-commands-only", "does not let root in (PermitRootLogin forced-commands-only)"),
    ("PubkeyAuthentication no", "lets nobody in by a key (PubkeyAuthentication no)"),
    ("Include sshd_config", "does not start: /etc/ssh/sshd_config is included too deeply"),
    ("AuthorizedKeysFile none", "looks for keys in no file (AuthorizedKeysFile none)"),
    ("AuthenticationMethods publickey,password", "lets nobody in by a key alone"),
    ("AllowUsers alice root@192.168.*", "does not let root in (AllowUsers)"),
    ("DenyUsers r*t", "does not let root in (DenyUsers)"),
    ("AllowGroups wheel", "does not let root in (AllowGroups)"),
    ("PubkeyAcceptedAlgorithms rsa-sha2-512", "accepts no key of the type ssh-ed25519"),
    ("PubkeyAcceptedAlgorithms -ssh-ed25519*", "accepts no key of the type ssh-ed25519"),
    ("Match User root\n PermitRootLogin no", "does not let root in (PermitRootLogin no)"),
]


@pytest.mark.parametrize(("lines", "reason"), SETTINGS)
def test_settings_that_keep_root_out(image: Image, lines: str, reason: str) -> None:
    image.write("etc/ssh/sshd_config", f"# ours\n{lines}\n")
    status, said = image.add_keys()
    assert status == FAULT and said.startswith(f"sshd of the image {reason}")
    assert not (image.root / USUAL).exists()


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("AuthorizedKeysFile .ssh/keys", "root/.ssh/keys"),
        ("AuthorizedKeysFile .ssh/keys %h/.ssh/authorized_keys", USUAL),
        ("AuthorizedKeysFile /etc/ssh/keys/%u", "etc/ssh/keys/root"),
        ('AuthorizedKeysFile "/etc/ssh/%U%%"', "etc/ssh/0%"),
        ("Match user alice\nAuthorizedKeysFile none\nMatch all\nAuthorizedKeysFile /keys", "keys"),
    ],
)
def test_keys_are_where_sshd_looks_for_them(image: Image, lines: str, found: str) -> None:
    (image.root).chmod(0o755)
    image.write("etc/ssh/sshd_config", f"{lines}\n")
    assert image.add_keys() == (0, "")
    assert (image.root / found).read_text() == f"{KEY}\n"


def test_modes_do_not_matter_where_sshd_does_not_look(image: Image) -> None:
    (image.root / "root").chmod(0o777)
    image.write("etc/ssh/sshd_config", "StrictModes no\n")
    assert image.add_keys() == (0, "")


@pytest.mark.root
@pytest.mark.needs("mkfs.ext4")
@pytest.mark.parametrize("path", [USUAL, "root/.ssh"])
def test_an_immutable_file(image: Image, path: str) -> None:
    image.write(USUAL, OWN).parent.chmod(0o700)
    if subprocess.run(["chattr", "+i", image.root / path], capture_output=True, check=False).returncode:
        pytest.skip("the file system of the tests has no such attribute")
    try:
        status, said = image.add_keys()
    finally:
        subprocess.run(["chattr", "-i", image.root / path], check=True)
    assert (status, said) == (
        FAULT,
        "/root/.ssh/authorized_keys of the image cannot be changed: it is immutable\n",
    )
    assert (image.root / USUAL).read_text() == OWN
    assert [entry.name for entry in (image.root / "root/.ssh").iterdir()] == ["authorized_keys"]
