# SPDX-License-Identifier: Apache-2.0
"""The README's first command, as a newcomer runs it."""

from __future__ import annotations

import subprocess

import pytest

from .laboratory import CHECKOUT

pytestmark = [pytest.mark.lab, pytest.mark.deploys("debian12-min"), pytest.mark.timeout(1200)]


def test_one_node_is_deployed_and_proves_itself() -> None:
    done = subprocess.run(
        [CHECKOUT / "bin" / "demo", "--nodes", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("1/1 nodes deployed and verified in ")
