# SPDX-License-Identifier: Apache-2.0
"""By which broadcast each instance of BroadcastEnv brings the image to the nodes."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace

from kadeploy.broadcast.custom import CustomBroadcast
from kadeploy.broadcast.fallback import ChainOrPull
from kadeploy.broadcast.http_pull import HttpPullBroadcast
from kadeploy.broadcast.interface import Broadcast, BroadcastOptions
from kadeploy.steps.deployment import DeploymentWorkbench

Way = Callable[[DeploymentWorkbench], tuple[Broadcast, BroadcastOptions]]


def chain(workbench: DeploymentWorkbench) -> tuple[Broadcast, BroadcastOptions]:
    """Each node feeds the next one; who has no Python fetches the image over HTTP after them."""
    return ChainOrPull(workbench.broadcasts.shared), _options(workbench)


def tree(workbench: DeploymentWorkbench) -> tuple[Broadcast, BroadcastOptions]:
    """The same, but each node feeds several."""
    return ChainOrPull(workbench.broadcasts.shared), replace(
        _options(workbench), arity=workbench.cluster.broadcast.arity
    )


def http_pull(workbench: DeploymentWorkbench) -> tuple[Broadcast, BroadcastOptions]:
    """Each node fetches the image from this machine."""
    return HttpPullBroadcast(), _options(workbench)


def custom(workbench: DeploymentWorkbench) -> tuple[Broadcast, BroadcastOptions]:
    """A command of the site does it, in the configuration directory as all its commands."""
    site = workbench.site
    command = shlex.split(workbench.cluster.localops.broadcastenv.cmd)
    words = {"SSH_KEY": str(site.path(site.server.ssh_private_key))}
    broadcast = CustomBroadcast(command, site.directory, words, workbench.minios.host_key)
    return broadcast, _options(workbench)


def _options(workbench: DeploymentWorkbench) -> BroadcastOptions:
    broadcast = workbench.cluster.broadcast
    return BroadcastOptions(silence=broadcast.silence, window=broadcast.window << 20)
