# SPDX-License-Identifier: Apache-2.0
"""Custom: a command of the site, run in the configuration directory as all its commands."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from kadeploy.broadcast.method import BroadcastMethod, BroadcastSetup

if TYPE_CHECKING:
    from kadeploy.broadcast.interface import Broadcast
    from kadeploy.config.cluster import ClusterConfig


class CustomMethod(BroadcastMethod):
    """Method by a command of the cluster's file."""

    name = "Custom"

    def missing(self, cluster: ClusterConfig) -> str:
        return "" if cluster.localops.broadcastenv.cmd else "localops: {broadcastenv: {cmd: …}}"

    def make(self, setup: BroadcastSetup) -> Broadcast:
        from kadeploy.broadcast.custom import CustomBroadcast

        site = setup.site
        command = shlex.split(setup.cluster.localops.broadcastenv.cmd)
        words = {"SSH_KEY": str(site.path(site.server.ssh_private_key))}
        return CustomBroadcast(command, site.directory, words, setup.host_keys)


MEMBER = CustomMethod()
