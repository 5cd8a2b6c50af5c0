# SPDX-License-Identifier: Apache-2.0
"""bin/test installs and builds what the selected tests need, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from tests import nightly

CHECKOUT = Path(__file__).parents[3]


def needs_of(directory: Path, *arguments: str) -> list[str]:
    """What tests/needs.py writes down for the tests that these arguments select."""
    file = directory / "needs"
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--collect-only",
        "-q",
        f"--needs={file}",
    ]
    done = subprocess.run([*argv, *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return file.read_text().splitlines()


def test_every_need_has_a_package(tmp_path: Path) -> None:
    names = [line.split()[1] for line in needs_of(tmp_path) if line.startswith("package ")]
    assert {"shellcheck", "ssh-keygen"} <= set(names)
    code = '. bin/lib/setup.sh; for name; do [[ -n ${packages_for[$name]-} ]] || echo "$name"; done'
    unknown = subprocess.run(
        ["bash", "-c", code, "test", *names], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert unknown.stdout == ""


@pytest.mark.root
def test_only_images_that_are_deployed_are_built(tmp_path: Path) -> None:
    assert needs_of(tmp_path, "tests/lab/test_kacast.py") == [
        "part fast 0", "part machines 3", "package fleet", "image deploy-env"
    ]  # fmt: skip
    every = needs_of(tmp_path, "tests/lab")
    assert {"image debian12-min", "image fleet-min", "package lab"} <= set(every)


def test_by_night_there_are_more_examples_and_other_ones() -> None:
    usual = settings.get_current_profile_name()
    try:
        nightly.use_profile()
        assert (settings().max_examples, settings().derandomize) == (10_000, False)
        assert nightly.examples(40) == 10_000
    finally:
        settings.load_profile(usual)
    assert nightly.examples(40) == 40


def test_a_nightly_run_that_was_broken_off_leaves_out_what_has_passed(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    passed = nightly.Passed(tmp_path / "passed")
    for name, when, outcome in [
        ("a", "setup", "passed"), ("a", "call", "passed"), ("b", "call", "failed"),
        ("a", "teardown", "passed"), ("b", "teardown", "passed"),
        ("c", "setup", "skipped"), ("c", "teardown", "passed"),
    ]:  # fmt: skip
        passed.pytest_runtest_logreport(
            pytest.TestReport(name, ("file", 1, name), {}, outcome, None, when)  # type: ignore[arg-type]
        )
    assert (tmp_path / "passed").read_text() == "a\n"
    (tmp_path / "passed").write_text(f"{request.node.nodeid}\n")
    others = [item for item in request.session.items if item is not request.node][:3]
    items = [request.node, *others]
    passed.skip(items)
    assert items == others
