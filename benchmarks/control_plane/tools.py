# SPDX-License-Identifier: Apache-2.0
"""The tools that are compared: how each is called, and where it comes from."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.control_plane.fleet import COMMAND, Fleet

HERE = Path(__file__).resolve().parent
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


def install_commands(say: Say) -> None:
    """Get what is missing from Debian, and tell what then is still missing."""
    missing = [PACKAGES[program] for program in COMMANDS.keys() - present_commands().keys()]
    if missing:
        say(f"installing by apt-get: {' '.join(missing)}")
        _try(["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing], say)


def install_parallel_ssh(python: Path, say: Say) -> None:
    """Make the virtual environment of which ``python`` is the interpreter, with parallel-ssh in it."""
    if _has_parallel_ssh(python):
        return
    say(f"installing by pip: parallel-ssh, in {python.parent.parent}")
    if _try([sys.executable, "-m", "venv", str(python.parent.parent)], say):
        _try([str(python), "-m", "pip", "install", "-q", "parallel-ssh"], say)


def libraries(fleet: Fleet, python: Path) -> dict[str, list[str]]:
    """Programs that take samples of themselves: ours, and that of parallel-ssh where ``python`` has it."""
    ours = [
        sys.executable,
        "-m",
        "benchmarks.control_plane.kadeploy_client",
        fleet.client_key,
        fleet.host_key.with_suffix(".pub"),
    ]
    theirs = [python, HERE / "parallel_ssh_client.py", fleet.client_key, FAN_OUT]
    programs = {"kadeploy": ours} | ({"parallel-ssh": theirs} if _has_parallel_ssh(python) else {})
    return {method: [str(word) for word in words] for method, words in programs.items()}


def _has_parallel_ssh(python: Path) -> bool:
    return python.exists() and _run([str(python), "-c", "import pssh"]).returncode == 0


def _try(command: Sequence[str], say: Say) -> bool:
    done = _run(command)
    if done.returncode != 0:
        say(f"{shlex.join(command)} failed: {done.stderr.strip()[-300:]}")
    return done.returncode == 0


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
