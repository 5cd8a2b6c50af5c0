# SPDX-License-Identifier: Apache-2.0
"""The demonstration refuses what it cannot do before it touches anything."""

import fcntl
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CHECKOUT / "bin" / "demo", *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", ["check", "demo", "format", "test"])
def test_help_goes_to_stdout(name: str) -> None:
    result = subprocess.run([CHECKOUT / "bin" / name, "--help"], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"Usage: bin/{name} ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--fast"], "unknown argument --fast"),
        (["--nodes"], "--nodes needs a value"),
        (["--nodes", "0"], "not '0'"),
        (["--nodes", "201"], "not '201'"),
        (["--nodes", "-1"], "not '-1'"),
        (["--nodes", "3 4"], "not '3 4'"),
        (["--nodes", "0x3"], "not '0x3'"),
        (["--firmware", "UEFI"], "--firmware takes bios or uefi, not 'UEFI'"),
    ],
)
def test_usage_errors(arguments: list[str], sentence: str) -> None:
    result = run_demo(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.root
def test_two_demonstrations_do_not_take_each_other_down() -> None:
    with Path("/run/lock/kalab-demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = run_demo()
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "demo: error: another bin/demo runs on this machine\n"
