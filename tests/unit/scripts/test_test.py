# SPDX-License-Identifier: Apache-2.0
"""bin/test: which parts are run, in how many processes, and how it ends; a function stands for pytest."""

from __future__ import annotations

import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]


def run_library(code: str) -> subprocess.CompletedProcess[str]:
    source = "set -euo pipefail; . bin/lib/messages.sh; . bin/lib/setup.sh; . bin/lib/pytest.sh; "
    return subprocess.run(
        ["bash", "-c", source + code, "test"], capture_output=True, text=True, cwd=CHECKOUT, timeout=60
    )


def test_a_part_without_tests_is_not_run() -> None:
    done = run_library(
        'run_pytest() { echo "$@"; }; count_of=([fast]=0 [machines]=3); run_part fast 4 tests/lab'
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_few_tests_are_run_in_one_process() -> None:
    code = 'run_pytest() { echo "$@"; }; count_of=([fast]=15 [machines]=16); run_part fast 4 -k x; '
    done = run_library(f"{code} run_part machines 2 -n 0; run_part machines 1")
    assert done.stdout.splitlines() == [
        "--part=fast -k x",
        "--part=machines -n 2 --dist loadfile --no-loadscope-reorder -n 0",
        "--part=machines",
    ]


def test_the_status_of_a_part_is_that_of_pytest() -> None:
    done = run_library("run_pytest() { return 3; }; count_of=([fast]=1); run_part fast 4 || echo $?")
    assert done.stdout == "3\n"


def test_what_pytest_refuses_is_said_and_ends_the_program() -> None:
    done = run_library("run_pytest() { echo no such option >&2; return 4; }; look_at_needs --x; echo on")
    assert (done.returncode, done.stdout, done.stderr) == (4, "", "no such option\n")


def test_needs_are_read() -> None:
    code = """run_pytest() {
        printf '%s\\n' 'part fast 7' 'part machines 2' 'package sfdisk' 'image fleet-min' >"${3#--needs=}"
    }; look_at_needs; echo "${count_of[fast]} ${count_of[machines]} ${needed_packages[@]} ${needed_images[@]}"
    run_pytest() { return 5; }; look_at_needs; echo "${#needed_packages[@]}"
    """
    assert run_library(code).stdout == "7 2 sfdisk fleet-min\n0\n"
