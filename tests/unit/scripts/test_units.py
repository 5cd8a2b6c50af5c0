# SPDX-License-Identifier: Apache-2.0
"""Units of systemd: they run programs of this project, and systemd finds nothing wrong with them."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
UNITS = sorted((CHECKOUT / "packaging/systemd").glob("*.*"))
SERVICES = [path for path in UNITS if path.suffix == ".service"]


def test_they_run_programs_of_the_project() -> None:
    programs = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["scripts"]
    run = [re.findall(r"^ExecStart=/opt/kadeploy/bin/(\S+)$", path.read_text(), re.M) for path in SERVICES]
    assert sorted(name for names in run for name in names) == ["kadeploy-boot", "kadeployd"]
    assert {name for names in run for name in names} <= programs.keys()


@pytest.mark.needs("systemd-analyze")
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    for path in UNITS:
        text = re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", path.read_text(), flags=re.M)
        (tmp_path / path.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *(tmp_path / path.name for path in SERVICES)],
        capture_output=True,
        text=True,
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
