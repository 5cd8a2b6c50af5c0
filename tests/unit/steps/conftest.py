# SPDX-License-Identifier: Apache-2.0
"""Keys of the systems that a node may run, and looks that follow each other quickly."""

from __future__ import annotations

from collections.abc import Mapping

import asyncssh
import pytest

from kadeploy.steps import boot, minios, power, reboot
from tests.unit.steps.port import NAMES


@pytest.fixture(scope="session")
def host_keys() -> Mapping[str, asyncssh.SSHKey]:
    return {name: asyncssh.generate_private_key("ssh-ed25519") for name in NAMES}


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (boot, minios, reboot):
        monkeypatch.setattr(module, "POLL_INTERVAL", 0.05)
    monkeypatch.setattr(power, "STATUS_INTERVAL", 0.01)
