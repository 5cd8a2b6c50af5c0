# SPDX-License-Identifier: Apache-2.0
"""The miniOS of a cluster: its files in the boot repository, and its public host key."""

from __future__ import annotations

from kadeploy.boot.repository import BootRepository
from kadeploy.config.site import Site
from kadeploy.errors import NotFoundError, RefusedError
from kadeploy.remote import hostkey
from kadeploy.steps.facts import MiniOs


def prepare(site: Site, cluster: str) -> MiniOs:
    """Put the miniOS of a cluster into the boot repository.

    Blocks on the disk. Raises NotFoundError for a missing file, ServiceError where the repository cannot be
    written, and as read_host_key.
    """
    boot, kernel = BootRepository.of(site), site.clusters[cluster].boot.kernels.deploy
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
    keys = hostkey.readable_keys([line])
    if not keys:
        raise RefusedError(f"{host_key} is not a public host key", hint="bin/build-deploy-env makes it")
    return keys[0]
