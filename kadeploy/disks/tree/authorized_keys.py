# SPDX-License-Identifier: Apache-2.0
"""Public keys with which root of a tree may log in, put where the tree's ssh server looks for them."""

from __future__ import annotations

import sys

from kadeploy.disks.tree.accounts import Root, read_root
from kadeploy.disks.tree.host_keys import SERVERS
from kadeploy.disks.tree.image import ImageFault, ImageTree, carry_out
from kadeploy.disks.tree.sshd_config import FILES, Login, Reader, Settings
from kadeploy.disks.tree.sshd_rules import (
    USUAL,
    check_algorithms,
    check_file,
    check_login,
    files_of_keys,
)


def add_keys(tree: ImageTree, arguments: list[str]) -> None:
    """Add the lines of standard input to root's keys, and check by the rules of sshd that they count.

    Arguments: the address that logs in, and the address and port of the node.
    """
    lines = [line.strip() for line in sys.stdin.buffer.read().splitlines()]
    keys = [line for line in lines if line]
    with tree:
        root = read_root(tree)
        settings: Settings = {}
        has_sshd = any(tree.is_program(path) for path in SERVERS) or any(tree.has(path) for path in FILES)
        if has_sshd:
            login = Login(arguments[0], arguments[1], arguments[2], root.groups)
            settings = Reader(tree, login).read()
        if has_sshd and tree.root != "/":  # into the miniOS this very process has come by a key
            check_login(tree, root, settings, login)
            check_algorithms(tree, settings, _types(keys))
        path = _choose(files_of_keys(tree, root, settings), root)
        _make_home(tree, root, path)
        tree.add_lines(path, keys, 0o600)
        check_file(tree, path, root, settings.get("strictmodes", ["yes"])[0].lower() != "no")
        _check_lines(tree, path, keys)


def _choose(files: list[str], root: Root) -> str:
    usual = f"{root.home}/{USUAL}"
    return usual if usual in files else files[0]


def _make_home(tree: ImageTree, root: Root, path: str) -> None:
    """Make root's home and what is between it and the file, for root alone."""
    tree.make_directory(root.home or "/", 0o700)
    directory = path.rpartition("/")[0]
    if directory.startswith(f"{root.home}/"):
        tree.make_directory(directory, 0o700)


def _check_lines(tree: ImageTree, path: str, keys: list[bytes]) -> None:
    there = set(tree.read(path).split(b"\n"))
    if not there.issuperset(keys):
        raise ImageFault(f"{path} of {tree.owner} does not hold the keys that were written")


def _types(keys: list[bytes]) -> set[str]:
    """Types of keys, as far as their lines begin with one; options may stand before it."""
    words = [line.split()[0].decode(errors="replace") for line in keys if not line.startswith(b"#")]
    return {word for word in words if word.startswith(("ssh-", "ecdsa-", "sk-")) and '"' not in word}


def main() -> None:
    carry_out(add_keys)
