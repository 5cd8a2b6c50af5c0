# SPDX-License-Identifier: Apache-2.0
"""Method of broadcast that uses the broadcast of a test."""

from __future__ import annotations

from dataclasses import dataclass

from kadeploy.broadcast.interface import Broadcast
from kadeploy.broadcast.method import BroadcastMethod, BroadcastSetup


@dataclass(frozen=True, slots=True)
class GivenBroadcast(BroadcastMethod):
    """Method that makes this broadcast, whatever the cluster is; its options are those of the chain."""

    broadcast: Broadcast
    name = "Given"

    def make(self, setup: BroadcastSetup) -> Broadcast:
        return self.broadcast
