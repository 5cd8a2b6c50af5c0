# SPDX-License-Identifier: Apache-2.0
"""Settings of a tree's sshd for a login of root, as sshd reads them (sshd_config(5)).

Of a keyword the first value counts; in the blocks of Match that suit the login the first one again, before
those outside.
"""

from __future__ import annotations

import ipaddress
import re
from fnmatch import fnmatchcase
from pathlib import Path

from kadeploy.disks.tree.image import ImageFault, ImageTree, lines_of

FILES = ("/etc/ssh/sshd_config", "/usr/etc/ssh/sshd_config")
MAX_DEPTH = 16
# Lists of which each line adds to those before.
_LISTS = ("allowusers", "denyusers", "allowgroups", "denygroups")
_WORD = re.compile(r'"([^"]*)"|([^\s"]+)')
_LINE = re.compile(r'\s*"?([A-Za-z]+)"?(?:\s*=\s*|\s+)(.*)')

Settings = dict[str, list[str]]


class Login:
    """Login of root: from an address, at an address and a port of the node, with the groups of root."""

    def __init__(self, client: str, server: str, port: str, groups: list[str]) -> None:
        self.client = client
        self.server = server
        self.port = port
        self.groups = groups


class Reader:
    """Reader of the files; ``settings`` are those for the login afterwards."""

    def __init__(self, tree: ImageTree, login: Login) -> None:
        self._tree = tree
        self._login = login
        self._outside: Settings = {}
        self._matched: Settings = {}

    def read(self) -> Settings:
        """Read the first of FILES that there is, and those that it includes. The tree is entered."""
        for path in FILES:
            if self._tree.has(path):
                self._read_file(path, "outside", 0)
                break
        return {**self._outside, **self._matched}

    def _read_file(self, path: str, block: str, depth: int) -> None:
        if depth > MAX_DEPTH:  # as sshd, which does not start then
            raise ImageFault(f"sshd of {self._tree.owner} does not start: {path} is included too deeply")
        for line in lines_of(self._tree.read(path)):
            found = _LINE.match(line)
            if found is None:
                continue
            keyword, arguments = found[1].lower(), _words(found[2])
            if keyword == "match":
                block = "matched" if self._suits(arguments) else "other"
            elif keyword == "include":
                for pattern in arguments:
                    self._include(pattern, block, depth)
            else:
                self._keep(keyword, arguments, block)

    def _include(self, pattern: str, block: str, depth: int) -> None:
        # A block of Match ends with its file, so that the rest of this one is read as before.
        pattern = pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"
        for path in sorted(map(str, Path("/").glob(pattern.lstrip("/")))):
            if self._tree.is_file(path):
                self._read_file(path, block, depth + 1)

    def _keep(self, keyword: str, arguments: list[str], block: str) -> None:
        if block == "other" or not arguments:
            return
        settings = self._outside if block == "outside" else self._matched
        if keyword in _LISTS:
            settings.setdefault(keyword, []).extend(arguments)
        else:
            settings.setdefault(keyword, arguments)

    def _suits(self, criteria: list[str]) -> bool:
        """Check a line of Match: all of its criteria must be met."""
        words = [part for word in criteria for part in (word.split("=", 1) if "=" in word else [word])]
        if [word.lower() for word in words] == ["all"]:
            return True
        pairs = list(zip(words[::2], words[1::2], strict=False))
        return len(words) % 2 == 0 and bool(pairs) and all(self._meets(*pair) for pair in pairs)

    def _meets(self, criterion: str, patterns: str) -> bool:
        login = self._login
        name = criterion.lower()
        if name == "user":
            return matches(patterns, "root")
        if name == "group":
            return any(matches(patterns, group) for group in login.groups)
        if name in ("address", "host"):  # without UseDNS the host's name is the address
            return matches_address(patterns, login.client)
        if name == "localaddress":
            return matches_address(patterns, login.server)
        return name == "localport" and login.port in patterns.split(",")


def matches(patterns: str, name: str) -> bool:
    """Check a name against patterns with commas between; one with '!' excludes (ssh_config(5), PATTERNS)."""
    found = False
    for pattern in patterns.split(","):
        excludes = pattern.startswith("!")
        if fnmatchcase(name, pattern.lstrip("!").replace("[", "[[]")):
            if excludes:
                return False
            found = True
    return found


def matches_address(patterns: str, address: str) -> bool:
    """Check an address, against networks such as 10.0.0.0/8 as well."""
    found = False
    for pattern in patterns.split(","):
        excludes = pattern.startswith("!")
        if _is_in(pattern.lstrip("!"), address):
            if excludes:
                return False
            found = True
    return found


def _is_in(pattern: str, address: str) -> bool:
    if "/" not in pattern:
        return matches(pattern, address)
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return False


def _words(text: str) -> list[str]:
    words = []
    for found in _WORD.finditer(text):
        if found[2] is not None and found[2].startswith("#"):
            break
        words.append(found[2] if found[1] is None else found[1])
    return words
