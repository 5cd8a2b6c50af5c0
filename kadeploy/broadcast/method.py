# SPDX-License-Identifier: Apache-2.0
"""Family of broadcast methods; each is an instance of BroadcastEnv: Chain makes BroadcastEnvChain.

The configuration of each cluster is checked by the members, in all programs. So a member imports what carries
out a broadcast only when it makes one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from kadeploy.config import broadcast_methods
from kadeploy.config.broadcast_methods import ConfiguredMethod
from kadeploy.families import Family

if TYPE_CHECKING:
    from kadeploy.broadcast.interface import Broadcast, BroadcastOptions
    from kadeploy.broadcast.shared import SharedBroadcast
    from kadeploy.config.cluster import BroadcastSettings, ClusterConfig
    from kadeploy.config.site import Site


@dataclass(frozen=True, slots=True)
class BroadcastSetup:
    """Inputs of a method for one cluster.

    ``host_keys`` maps nodes to their public key lines; ``shared`` is the chain that late nodes join.
    """

    site: Site
    cluster: ClusterConfig
    host_keys: Mapping[str, str]
    shared: SharedBroadcast


class BroadcastMethod(ConfiguredMethod, Protocol):
    """Method of broadcast; its name is the suffix of its instance of BroadcastEnv."""

    def missing(self, cluster: ClusterConfig) -> str:
        return ""

    def options(self, settings: BroadcastSettings) -> BroadcastOptions:
        """Options of a broadcast by the settings of a cluster."""
        from kadeploy.broadcast.interface import BroadcastOptions

        return BroadcastOptions(silence=settings.silence, window=settings.window << 20)

    @abstractmethod
    def make(self, setup: BroadcastSetup) -> Broadcast:
        """Make the broadcast for nodes of one cluster."""


BROADCAST_METHODS = cast("Family[BroadcastMethod]", broadcast_methods.BROADCAST_METHODS)
