# SPDX-License-Identifier: Apache-2.0
"""Programs of the miniOS, and how a work of this room ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

NO_ESP = 5  # exit status: the disk has no EFI system partition that can be used
_NOTHING_FOUND = 2  # exit status of blkid
_LIMIT = 60.0  # seconds of a program that takes less than one; some firmware answers slowly, or never


class UefiFault(Exception):
    """Sentence about what cannot be done; ``status`` is the exit status of the work."""

    def __init__(self, sentence: str, status: int = 1) -> None:
        super().__init__(sentence)
        self.status = status


def output_of(*words: str, accepted: tuple[int, ...] = (0,)) -> str:
    """Output of a program in its plain language; raises UefiFault where it fails or is missing."""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        ended = subprocess.run(
            words,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            check=False,
            timeout=_LIMIT,
        )
    except FileNotFoundError as error:
        raise UefiFault(f"the miniOS has no {words[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise UefiFault(f"{words[0]} did not end within {_LIMIT:g} s") from error
    if ended.returncode not in accepted:
        said = [line for line in (ended.stderr.strip() or ended.stdout.strip()).splitlines() if line]
        reason = said[-1].strip() if said else f"exit status {ended.returncode}"
        raise UefiFault(f"{words[0]} has failed: {reason}")
    return ended.stdout


def probe(device: str) -> dict[str, str]:
    """Content of a device as of now, past all caches, by the names of blkid; empty for nothing."""
    printed = output_of(
        "blkid", "-c", "/dev/null", "-p", "-o", "export", device, accepted=(0, _NOTHING_FOUND)
    )
    pairs = (line.partition("=") for line in printed.splitlines())
    return {name: value for name, _, value in pairs}


def carry_out(work: Callable[[str, list[str]], None]) -> None:
    """Run the work of this process: arguments are the directory of the ESP, the work's name, and its own."""
    directory, _, *arguments = sys.argv[1:]
    try:
        work(directory, arguments)
    except UefiFault as fault:
        sys.stderr.write(f"{fault}\n")
        sys.exit(fault.status)
    except OSError as error:
        sys.stderr.write(": ".join(filter(None, [error.filename, error.strerror])) + "\n")
        sys.exit(1)
