# SPDX-License-Identifier: Apache-2.0
"""Ssh host keys of an image: those that it has, or new ones."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from kadeploy.disks.tree.image import ImageTree, carry_out

DIRECTORY = "/etc/ssh"
# Places of an ssh server, by which an image is known to have one.
SERVERS = ("/usr/sbin/sshd", "/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd", "/usr/lib/ssh/sshd")
# Not RSA: it takes an emulated or old processor many seconds, and no client needs it.
_TYPES = ("ed25519", "ecdsa")


def read_keys(tree: ImageTree) -> list[str]:
    """Read the public keys. One counts with its private one beside it only: who cleans an image may have left
    the former."""
    directory = tree.resolve(DIRECTORY)
    found = []
    for private in sorted(directory.glob("ssh_host_*_key")) if directory.is_dir() else []:
        public = f"{private}.pub"
        if tree.is_file(str(private)) and tree.is_file(public):
            lines = tree.read(public).decode(errors="replace").splitlines()
            found += [" ".join(line.split(" ")[:2]) for line in lines]
    return found


def make_keys(comment: str = "") -> dict[str, bytes]:
    """Make keys, as the content of files by their names; the tree is not entered."""
    import tempfile

    made = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in _TYPES:
            name = f"ssh_host_{kind}_key"
            argv = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", comment, "-f", f"{folder}/{name}"]
            if os.spawnvp(os.P_WAIT, argv[0], argv):  # noqa: S606 - no shell is wanted
                raise OSError(0, f"ssh-keygen could not make the {kind} host key")
            for file in (name, f"{name}.pub"):
                made[file] = Path(folder, file).read_bytes()
    return made


def write_keys(tree: ImageTree, keys: dict[str, bytes]) -> None:
    """Write keys that were made; of former ones of the same names, links or not, nothing stays."""
    for name, content in keys.items():
        tree.remove(f"{DIRECTORY}/{name}")
        tree.write(f"{DIRECTORY}/{name}", content, 0o644 if name.endswith(".pub") else 0o600)


def print_keys(tree: ImageTree, arguments: list[str]) -> None:
    """Print the public keys, one a line. With the argument ``make`` they are made where a server has none."""
    with tree:
        keys = read_keys(tree)
        missing = not keys and any(tree.is_program(path) for path in SERVERS)
    if missing and arguments == ["make"]:
        made = make_keys()
        with tree:
            write_keys(tree, made)
            keys = read_keys(tree)
    sys.stdout.writelines(f"{key}\n" for key in keys)


def main() -> None:
    carry_out(print_keys)
