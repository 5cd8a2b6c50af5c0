# SPDX-License-Identifier: Apache-2.0
"""Files of the repository."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kadeploy.boot.repository import BootRepository, find_file
from kadeploy.config.clusters import Node
from kadeploy.errors import NotFoundError, ServiceError

Make = Callable[..., BootRepository]


@pytest.mark.parametrize(
    ("boot", "path"),
    [
        ({}, "profiles/172.31.0.11"),
        ({"profiles": {"filename": "ip_hex"}}, "profiles/ac1f000b"),
        ({"profiles": {"filename": "hostname"}}, "profiles/node-1.site.example"),
        ({"profiles": {"filename": "hostname_short", "directory": "p/q"}}, "p/q/node-1"),
        ({"method": "PXElinux"}, "pxelinux.cfg/AC1F000B"),
    ],
)
def test_profile_of_a_node(make: Make, node: Node, boot: dict[str, object], path: str) -> None:
    assert make(**boot).profile_path(node) == path


@pytest.mark.parametrize(
    ("method", "export", "protocols"),
    [
        ("IPXE", "http", {"http"}),
        ("IPXE", "tftp", {"http", "tftp"}),
        ("PXElinux", "http", {"http", "tftp"}),  # kernels over HTTP, profiles by TFTP as ever
        ("PXElinux", "tftp", {"http", "tftp"}),
    ],
)
def test_how_secrets_are_served(make: Make, method: str, export: str, protocols: set[str]) -> None:
    assert set(make(method=method, export={"kind": export}).secret_protocols) == protocols


def test_kernels_are_named_by_content(make: Make, tmp_path: Path) -> None:
    repository = make()
    source = tmp_path / "vmlinuz 6.1"
    source.write_bytes(b"kernel one")
    first = repository.install_kernel(source)
    assert first == f"kernels/{hashlib.sha256(b'kernel one').hexdigest()[:16]}-vmlinuz_6.1"
    inode = (repository.root / first).stat().st_ino
    assert repository.install_kernel(source) == first
    assert (repository.root / first).stat().st_ino == inode, "written again although it was there"
    source.write_bytes(b"kernel two")
    second = repository.install_kernel(source)
    assert (repository.root / first).read_bytes() == b"kernel one"
    assert (repository.root / second).read_bytes() == b"kernel two"
    assert len(list((repository.root / "kernels").iterdir())) == 2


def test_kernel_that_is_missing(make: Make, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="cannot be read: No such file"):
        make().install_kernel(tmp_path / "nothing")


def test_repository_that_cannot_be_made(make: Make, tmp_path: Path) -> None:
    (tmp_path / "boot").write_text("a file\n")
    with pytest.raises(ServiceError):
        make().prepare()


def test_ipxe_repository(make: Make) -> None:
    repository = make()
    repository.prepare()
    repository.prepare()
    assert f"chain {repository.base_url}/profiles/${{ip}} ||" in (repository.root / "boot.ipxe").read_text()
    assert (repository.root / "images").is_dir()


@pytest.mark.needs("/usr/lib/PXELINUX")
@pytest.mark.parametrize(("export", "program"), [("tftp", "pxelinux.0"), ("http", "lpxelinux.0")])
def test_pxelinux_repository(make: Make, export: str, program: str) -> None:
    original = Path("/usr/lib/PXELINUX", program)
    repository = make(method="PXElinux", export={"kind": export})
    repository.prepare()
    assert (repository.root / "pxelinux.0").read_bytes() == original.read_bytes()
    for name in ("ldlinux.c32", "libcom32.c32", "libutil.c32", "chain.c32"):
        assert (repository.root / name).read_bytes()[1:4] == b"ELF"
    assert "chain.c32" in (repository.root / "pxelinux.cfg" / "default").read_text()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("kernels/k", True),
        ("/kernels/k", True),
        ("//kernels//k", True),
        ("inside", True),
        ("", False),
        ("kernels", False),
        ("kernels/../kernels/k", False),
        ("../secret", False),
        ("outside", False),
        ("folder/secret", False),
        ("loop", False),
        (".hidden", False),
        ("kernels/k\0", False),
        ("kernels/" + "k" * 5000, False),
        ("pipe", False),
    ],
)
def test_what_is_served(tmp_path: Path, name: str, found: bool) -> None:
    root = tmp_path / "boot"
    (root / "kernels").mkdir(parents=True)
    (root / "kernels" / "k").touch()
    (root / ".hidden").touch()
    (tmp_path / "secret").touch()
    (root / "inside").symlink_to("kernels/k")
    (root / "outside").symlink_to("../secret")
    (root / "folder").symlink_to(tmp_path)
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    assert (find_file(root, name) is not None) == found
