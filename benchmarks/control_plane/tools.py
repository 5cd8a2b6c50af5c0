# SPDX-License-Identifier: Apache-2.0
"""The tools that are compared: how each is called, and where it comes from."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import peers
from benchmarks.benchmark import CHECKOUT
from benchmarks.control_plane.fleet import COMMAND, Fleet

PARALLEL_SSH = CHECKOUT / "build" / "benchmarks" / "parallel-ssh"  # a virtual environment
PARALLEL_SSH_CLIENT = Path(__file__).with_name("parallel_ssh_client.py")
OURS = "benchmarks.control_plane.kadeploy_client"
FAN_OUT = 64  # nodes at once, for the tools that want a number: ClusterShell's own
PACKAGES = {"clush": "clustershell", "pdsh": "pdsh", "taktuk": "taktuk"}  # of Debian, by program

Arguments = Callable[[Sequence[str]], list[str]]
Say = Callable[[str], None]


def _clush(hosts: Sequence[str]) -> list[str]:
    return ["clush", "-f", str(FAN_OUT), "-l", "root", "-w", ",".join(hosts), shlex.join(COMMAND)]


def _pdsh(hosts: Sequence[str]) -> list[str]:
    return ["pdsh", "-R", "ssh", "-f", str(FAN_OUT), "-w", ",".join(hosts), shlex.join(COMMAND)]


def _taktuk(hosts: Sequence[str]) -> list[str]:
    """Flat: its tree would compute on the nodes, which are this machine."""
    machines = [word for host in hosts for word in ("-m", host)]
    return ["taktuk", "-c", "ssh", "-d", "-1", *machines, "broadcast", "exec", "[", *COMMAND, "]"]


COMMANDS: dict[str, Arguments] = {"clush": _clush, "pdsh": _pdsh, "taktuk": _taktuk}


def present_commands() -> dict[str, Arguments]:
    """The tools that start `ssh` and are installed."""
    return {program: arguments for program, arguments in COMMANDS.items() if shutil.which(program)}


def missing() -> dict[str, str]:
    """Tools that cannot take part, and the command lines that get them."""
    found = {
        program: peers.by_apt(PACKAGES[program]) for program in COMMANDS if program not in present_commands()
    }
    if not _has_parallel_ssh():
        environment = PARALLEL_SSH.relative_to(CHECKOUT)
        found["parallel-ssh"] = f"python3 -m venv {environment} && {environment}/bin/pip install parallel-ssh"
    return found


def install(say: Say) -> None:
    """Get what is missing, and tell what could not be had."""
    packages = [PACKAGES[program] for program in COMMANDS.keys() - present_commands().keys()]
    if packages:
        say(f"installing by apt-get: {' '.join(packages)}")
        _try(["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages], say)
    if not _has_parallel_ssh():
        say(f"installing by pip: parallel-ssh, in {PARALLEL_SSH}")
        if _try([sys.executable, "-m", "venv", str(PARALLEL_SSH)], say):
            _try([str(PARALLEL_SSH / "bin" / "pip"), "install", "-q", "parallel-ssh"], say)


def libraries(fleet: Fleet) -> dict[str, list[str]]:
    """Programs that take samples of themselves: ours, and that of parallel-ssh where it is installed."""
    ours = [sys.executable, "-m", OURS, str(fleet.client_key), str(fleet.host_key.with_suffix(".pub"))]
    theirs = [str(_python()), str(PARALLEL_SSH_CLIENT), str(fleet.client_key), str(FAN_OUT)]
    return {"kadeploy": ours} | ({"parallel-ssh": theirs} if _has_parallel_ssh() else {})


def _python() -> Path:
    return PARALLEL_SSH / "bin" / "python"


def _has_parallel_ssh() -> bool:
    return _python().exists() and _run([str(_python()), "-c", "import pssh"]).returncode == 0


def _try(command: Sequence[str], say: Say) -> bool:
    done = _run(command)
    if done.returncode != 0:
        say(f"{shlex.join(command)} failed: {done.stderr.strip()[-300:]}")
    return done.returncode == 0


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
