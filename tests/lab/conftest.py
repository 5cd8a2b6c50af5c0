# SPDX-License-Identifier: Apache-2.0
"""Labs for tests of deployments."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from .laboratory import DEPLOY_ENV, DESCRIPTION, FLEET_DESCRIPTION, Laboratory


@pytest.fixture(scope="session")
def artefacts() -> None:
    """What is deployed has been built."""
    missing = [
        str(path) for path in (DEPLOY_ENV / "initrd", DESCRIPTION, FLEET_DESCRIPTION) if not path.exists()
    ]
    assert not missing, f"{', '.join(missing)} missing: bin/test builds it"


@pytest.fixture(scope="session")
def lab(artefacts: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A lab of three nodes, which the tests use one after the other, whatever runs on the nodes."""
    laboratory = Laboratory(f"t-{os.getpid()}", tmp_path_factory.mktemp("lab"))
    try:
        laboratory.up(3)
        yield laboratory
    finally:
        laboratory.down()


@pytest.fixture(scope="module")
def pxelinux_lab(artefacts: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A lab of one node that boots with pxelinux."""
    laboratory = Laboratory(f"t-{os.getpid()}-pxe", tmp_path_factory.mktemp("lab"))
    try:
        laboratory.up(1, "--pxe", "pxelinux")
        yield laboratory
    finally:
        laboratory.down()


@pytest.fixture(autouse=True)
def ended_runs(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test that has failed leaves running must not be in the way of the next one."""
    yield
    if "lab" in request.fixturenames:
        laboratory: Laboratory = request.getfixturevalue("lab")
        for run in laboratory.runs:
            run.end()
