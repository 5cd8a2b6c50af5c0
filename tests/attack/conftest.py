# SPDX-License-Identifier: Apache-2.0
"""A lab of two nodes, and a stranger on its boot network."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from kadeploy.lab.plan import SERVER_ADDRESS
from tests.attack.stranger import Stranger
from tests.lab.laboratory import DEPLOY_ENV, Laboratory

NODE = "node-1"
HELD = "node-2"  # its firmware hangs: its order to boot stays open


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    laboratory = Laboratory(f"t-{os.getpid()}-attack", tmp_path_factory.mktemp("lab"))
    laboratory.emulated = False
    try:
        laboratory.up(2, "--driver", "container", "--boot-delay", "2", "--boot-spread", "0")
        laboratory.change_cluster(lambda content: content["verify"].update(settle=0))
        yield laboratory
    finally:
        laboratory.down()


@pytest.fixture
def stranger(lab: Laboratory) -> Iterator[Stranger]:
    """A machine that has a cable to the network, and no address yet."""
    found = Stranger(f"s-{os.getpid()}", lab.name, SERVER_ADDRESS, lab.directory)
    found.plug()
    try:
        yield found
    finally:
        found.unplug()
        lab.kalab("fault", "--mend")


@pytest.fixture(scope="module")
def engine_key() -> str:
    """The engine's public key, which the initrd has for everybody."""
    return (DEPLOY_ENV / "id_deploy.pub").read_text()
