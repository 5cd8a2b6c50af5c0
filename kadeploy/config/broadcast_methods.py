# SPDX-License-Identifier: Apache-2.0
"""Broadcast methods as the configuration uses them: what each needs in a cluster's file."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Protocol

from kadeploy.families import Family, NamedMember
from kadeploy.vocabulary.deployment import BROADCAST_ENV
from kadeploy.vocabulary.names import INSTANCES

if TYPE_CHECKING:
    from kadeploy.config.cluster import ClusterConfig


class ConfiguredMethod(NamedMember, Protocol):
    """Broadcast method, as far as files are concerned."""

    @abstractmethod
    def missing(self, cluster: ClusterConfig) -> str:
        """Keys that the method needs and a cluster's file lacks, as YAML in one line; '' for none."""


BROADCAST_METHODS: Family[ConfiguredMethod] = Family("broadcast method", "kadeploy.broadcast.methods")


def missing_settings(instance: str, cluster: ClusterConfig) -> str:
    """Keys that an instance of BroadcastEnv needs and a cluster's file lacks, as YAML; '' for none."""
    name = INSTANCES[instance].bound_name.removeprefix(BROADCAST_ENV.name)
    return BROADCAST_METHODS[name].missing(cluster)
