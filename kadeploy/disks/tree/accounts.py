# SPDX-License-Identifier: Apache-2.0
"""Account of root in the files of a tree, which are read as text: the tree's own libraries are not called."""

from __future__ import annotations

import posixpath

from kadeploy.disks.tree.image import ImageFault, ImageTree, lines_of

ACCOUNTS = "/etc/passwd"
HOME = "/root"  # where somebody else than the file knows the accounts


class Root:
    """Account of root: its shell, whether its password is locked, and the names of its groups.

    ``home`` is where paths begin that are below its home, '' for "/".
    """

    def __init__(self, home: str, shell: str, locked: bool, groups: list[str]) -> None:
        self.home = home
        self.shell = shell
        self.locked = locked
        self.groups = groups


def read_root(tree: ImageTree) -> Root:
    """Read the account; raises ImageFault where there is none. The tree is entered."""
    entry = _entry(tree, ACCOUNTS, "root") or _entry(tree, "/usr/lib/passwd", "root")
    if len(entry) < 7:
        if not _asks_others(tree):
            raise ImageFault(f"{tree.owner} has no account root in {ACCOUNTS}")
        entry = ["root", "x", "0", "0", "", HOME, ""]
    if not entry[5].startswith("/"):
        raise ImageFault(f"root has no home in {ACCOUNTS} of {tree.owner}")
    shadow = _entry(tree, "/etc/shadow", "root")
    password = shadow[1] if len(shadow) > 1 else entry[1]
    home = posixpath.normpath(entry[5]).rstrip("/")
    return Root(home, entry[6] or "/bin/sh", password.startswith("!"), _groups(tree, entry[3]))


def is_private_group(tree: ImageTree, number: int) -> bool:
    """Check whether root alone is in a group."""
    members = {
        member
        for entry in (line.split(":") for line in _lines(tree, "/etc/group"))
        if len(entry) > 3 and entry[2] == str(number)
        for member in entry[3].split(",")
    }
    accounts = [line.split(":") for line in _lines(tree, ACCOUNTS)]
    members |= {entry[0] for entry in accounts if len(entry) > 3 and entry[3] == str(number)}
    return members - {""} == {"root"}


def _groups(tree: ImageTree, primary: str) -> list[str]:
    entries = [line.split(":") for line in _lines(tree, "/etc/group")]
    return [entry[0] for entry in entries if len(entry) > 3 and _has_root(entry, primary)]


def _has_root(entry: list[str], primary: str) -> bool:
    return entry[2] == primary or "root" in entry[3].split(",")


def _asks_others(tree: ImageTree) -> bool:
    """Check whether other services than files know accounts: nss-systemd has a root without any file."""
    for line in _lines(tree, "/etc/nsswitch.conf"):
        key, _, services = line.partition(":")
        if key.strip() == "passwd":
            return not {"files", "compat"}.issuperset(services.split())
    return False


def _entry(tree: ImageTree, path: str, name: str) -> list[str]:
    return next((line.split(":") for line in _lines(tree, path) if line.split(":")[0] == name), [])


def _lines(tree: ImageTree, path: str) -> list[str]:
    return lines_of(tree.read(path))
