# SPDX-License-Identifier: Apache-2.0
"""What operations need of a site before they can reach and boot nodes: the engine's key, the miniOS."""

from __future__ import annotations

from collections.abc import Sequence

from kadeploy.boot.repository import BootRepository
from kadeploy.config.clusters import Node
from kadeploy.config.site import Site
from kadeploy.errors import NotFoundError, RefusedError
from kadeploy.remote import hostkey
from kadeploy.remote.connection import NodeConnections
from kadeploy.steps.workbench import MiniOs


def connect(site: Site, nodes: Sequence[Node]) -> NodeConnections:
    """Connections to nodes, none of which stands yet; raises NotFoundError where our key is missing."""
    key = site.path(site.server.ssh_private_key)
    if not key.is_file():
        raise NotFoundError(f"the engine's ssh key {key} is missing", hint="bin/build-deploy-env makes one")
    return NodeConnections(
        client_key=key,
        address={node.name: node.address for node in nodes},
        port=site.server.network.ports.ssh,
    )


def prepare_minios(site: Site, cluster: str, boot: BootRepository) -> MiniOs:
    """The miniOS of a cluster, with its files in the boot repository.

    Blocks on the disk. Raises NotFoundError for a missing file, ServiceError where the repository cannot be
    written, and as read_host_key.
    """
    kernel = site.clusters[cluster].boot.kernels.deploy
    host_key = read_host_key(site, cluster)
    boot.prepare()
    vmlinuz = boot.install_kernel(site.path(kernel.vmlinuz))
    return MiniOs(vmlinuz, boot.install_kernel(site.path(kernel.initrd)), host_key)


def read_host_key(site: Site, cluster: str) -> str:
    """The public host key of a cluster's miniOS.

    Raises NotFoundError for a missing file, RefusedError where it holds no public key.
    """
    host_key = site.path(site.clusters[cluster].boot.kernels.deploy.host_key)
    try:
        line = host_key.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise NotFoundError(
            f"the miniOS' host key {host_key} cannot be read: {error.strerror}",
            hint="bin/build-deploy-env makes it",
        ) from error
    keys = hostkey.usable([line])
    if not keys:
        raise RefusedError(f"{host_key} is not a public host key", hint="bin/build-deploy-env makes it")
    return keys[0]
