# SPDX-License-Identifier: Apache-2.0
"""A site on loopback, with a repository of its own."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from kadeploy.boot.repository import BootRepository
from kadeploy.config.clusters import Node
from kadeploy.config.server import Network, NetworkBoot
from tests.ports import free_port


@pytest.fixture
def node() -> Node:
    return Node("node-1.site.example", "172.31.0.11", "", "lab")


@pytest.fixture
def network() -> Network:
    ports = {"http": free_port(socket.SOCK_STREAM), "tftp": free_port(socket.SOCK_DGRAM)}
    return Network.model_validate({"server_address": "127.0.0.1", "ports": ports})


@pytest.fixture
def make(tmp_path: Path, network: Network) -> Callable[..., BootRepository]:
    """A repository; keywords are those of pxe.dhcp in server.conf."""

    def make(**boot: object) -> BootRepository:
        root = tmp_path / "boot"
        return BootRepository(root, NetworkBoot.model_validate({"repository": root, **boot}), network)

    return make
