# SPDX-License-Identifier: Apache-2.0
"""TakTuk's `put`: through a tree of ssh connections that it grows for itself."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .crew import Crew
from .fleet import HEAD, Fleet
from .loads import NAME, Load

PORT = 22
SSHD = "/usr/sbin/sshd"  # it wants to be called by its whole path

_SERVER = """Port 22
HostKey {folder}/key
AuthorizedKeysFile {folder}/key.pub
KexAlgorithms curve25519-sha256
StrictModes no
UsePAM no
UseDNS no
PermitRootLogin prohibit-password
PidFile none
LogLevel ERROR
"""
_CLIENT = """Host *
IdentityFile {folder}/key
IdentitiesOnly yes
UserKnownHostsFile /dev/null
GlobalKnownHostsFile none
StrictHostKeyChecking no
LogLevel ERROR
"""


def taktuk(crew: Crew, load: Load) -> Mapping[str, Any]:
    """A tree in which each has two successors, which suits nodes that are all the same."""
    fleet = crew.fleet
    folder = fleet.folder / "ssh"
    _write_files(folder)
    for node in fleet.nodes:
        options: list[str | Path] = [
            "-D",
            "-f",
            folder / "server",
            "-o",
            f"ListenAddress={fleet.address(node)}",
        ]
        crew.await_port(crew.start(node, [SSHD, *options]), PORT)
    with crew.timed():
        crew.finish([crew.start(HEAD, _command(fleet, folder, load))])
    return {}


def _command(fleet: Fleet, folder: Path, load: Load) -> list[str]:
    machines = [word for node in fleet.nodes for word in ("-m", fleet.address(node))]
    put = ["broadcast", "put", "[", str(load.path), "]", "[", str(fleet.here / NAME), "]"]
    return ["taktuk", "-s", "-d", "2", "-l", "root", "-c", f"ssh -F {folder}/client", *machines, *put]


def _write_files(folder: Path) -> None:
    if folder.exists():
        return
    folder.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    (folder / "server").write_text(_SERVER.format(folder=folder))
    (folder / "client").write_text(_CLIENT.format(folder=folder))
