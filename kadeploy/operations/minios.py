# SPDX-License-Identifier: Apache-2.0
"""The miniOS of a cluster: its files in the boot repository, and the fixed host key of a site's own one."""

from __future__ import annotations

from kadeploy.boot.repository import BootRepository
from kadeploy.config.site import Site
from kadeploy.errors import NotFoundError, RefusedError
from kadeploy.remote import hostkey
from kadeploy.steps.facts import MiniOs

HINT = "remove boot.kernels.deploy.host_key from the cluster's file: our miniOS makes a key at each boot"


def prepare(site: Site, cluster: str) -> MiniOs:
    """Put the miniOS of a cluster into the boot repository.

    Blocks on the disk. Raises NotFoundError for a missing file, ServiceError where the repository cannot be
    written, and as read_shared_key.
    """
    boot, kernel = BootRepository.of(site), site.clusters[cluster].boot.kernels.deploy
    host_key = read_shared_key(site, cluster)
    boot.prepare()
    vmlinuz = boot.install_kernel(site.path(kernel.vmlinuz))
    return MiniOs(vmlinuz, boot.install_kernel(site.path(kernel.initrd)), host_key)


def read_shared_key(site: Site, cluster: str) -> str:
    """The fixed public host key of a site's own miniOS, '' where the miniOS makes one at each boot.

    Raises NotFoundError for a missing file, RefusedError where it holds no public key.
    """
    configured = site.clusters[cluster].boot.kernels.deploy.host_key
    if configured is None:
        return ""
    path = site.path(configured)
    try:
        line = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise NotFoundError(
            f"the miniOS' host key {path} cannot be read: {error.strerror}", hint=HINT
        ) from error
    keys = hostkey.readable_keys([line])
    if not keys:
        raise RefusedError(f"{path} is not a public host key", hint=HINT)
    return keys[0]
