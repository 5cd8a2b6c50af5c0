# SPDX-License-Identifier: Apache-2.0
"""By which broadcast each instance of BroadcastEnv brings the image to the nodes."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace

from kadeploy.broadcast.custom import CustomBroadcast
from kadeploy.broadcast.fallback import ChainOrPull
from kadeploy.broadcast.http_pull import HttpPullBroadcast
from kadeploy.broadcast.interface import Broadcast, BroadcastOptions
from kadeploy.power import process
from kadeploy.steps.deployment import Deployment

COMMAND_TIMEOUT = 24 * 3600.0  # seconds of a broadcast by command; the deadline of its step comes before

Way = Callable[[Deployment], tuple[Broadcast, BroadcastOptions]]


def chain(deployment: Deployment) -> tuple[Broadcast, BroadcastOptions]:
    """Each node feeds the next one; who has no Python fetches the image over HTTP after them."""
    return ChainOrPull(deployment.broadcasts.shared), _options(deployment)


def tree(deployment: Deployment) -> tuple[Broadcast, BroadcastOptions]:
    """The same, but each node feeds several."""
    return ChainOrPull(deployment.broadcasts.shared), replace(
        _options(deployment), arity=deployment.cluster.broadcast.arity
    )


def http_pull(deployment: Deployment) -> tuple[Broadcast, BroadcastOptions]:
    """Each node fetches the image from this machine."""
    return HttpPullBroadcast(), _options(deployment)


def custom(deployment: Deployment) -> tuple[Broadcast, BroadcastOptions]:
    """A command of the site does it, in the configuration directory as all its commands."""
    site = deployment.site

    async def run(argv: Sequence[str]) -> process.Completed:
        return await process.run(argv, timeout=COMMAND_TIMEOUT, directory=site.directory)

    command = shlex.split(deployment.cluster.localops.broadcastenv.cmd)
    words = {"SSH_KEY": str(site.path(site.server.ssh_private_key))}
    return CustomBroadcast(command, run, words, deployment.minios.host_key), _options(deployment)


def _options(deployment: Deployment) -> BroadcastOptions:
    broadcast = deployment.cluster.broadcast
    return BroadcastOptions(silence=broadcast.silence, window=broadcast.window << 20)
