# SPDX-License-Identifier: Apache-2.0
"""Chain: each node feeds the next one; nodes without Python fetch the image over HTTP after the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kadeploy.broadcast.method import BroadcastMethod, BroadcastSetup

if TYPE_CHECKING:
    from kadeploy.broadcast.interface import Broadcast


class ChainMethod(BroadcastMethod):
    """Method of a chain."""

    name = "Chain"

    def make(self, setup: BroadcastSetup) -> Broadcast:
        from kadeploy.broadcast.fallback import ChainOrPull

        return ChainOrPull(setup.shared)


MEMBER = ChainMethod()
