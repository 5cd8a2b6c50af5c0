# SPDX-License-Identifier: Apache-2.0
"""Labs for tests of deployments."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from .laboratory import Laboratory

CONTAINERS = ("--driver", "container", "--boot-delay", "1", "--boot-spread", "0", "--rate", "200mbit")


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A lab of three nodes, which the tests use one after the other, whatever runs on the nodes.

    Container nodes, or QEMU machines by night. What a deployment does differs little; what it takes, much.
    """
    laboratory = Laboratory(f"t-{os.getpid()}", tmp_path_factory.mktemp("lab"))
    try:
        if request.config.getoption("nightly"):
            laboratory.up(3)
        else:
            laboratory.emulated = False
            laboratory.up(3, *CONTAINERS)
        yield laboratory
    finally:
        laboratory.down()


@pytest.fixture(scope="module")
def machines(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Laboratory]:
    """A lab of as many QEMU machines as there are processors in continuous integration, or three by night."""
    laboratory = Laboratory(f"t-{os.getpid()}-qemu", tmp_path_factory.mktemp("lab"))
    try:
        laboratory.up(3 if request.config.getoption("nightly") else 2)
        yield laboratory
    finally:
        laboratory.down()


@pytest.fixture(scope="module")
def pxelinux_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A lab of one QEMU machine that boots with pxelinux."""
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
