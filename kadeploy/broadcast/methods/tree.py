# SPDX-License-Identifier: Apache-2.0
"""Tree: as the chain, but each node feeds several others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kadeploy.broadcast.methods.chain import ChainMethod

if TYPE_CHECKING:
    from kadeploy.broadcast.interface import BroadcastOptions
    from kadeploy.config.cluster import BroadcastSettings


class TreeMethod(ChainMethod):
    """Method of a tree, whose arity is in the cluster's file."""

    name = "Tree"

    def options(self, settings: BroadcastSettings) -> BroadcastOptions:
        return replace(super().options(settings), arity=settings.arity)


MEMBER = TreeMethod()
