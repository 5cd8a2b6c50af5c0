# SPDX-License-Identifier: Apache-2.0
"""HttpPull: each node fetches the image from this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kadeploy.broadcast.method import BroadcastMethod, BroadcastSetup

if TYPE_CHECKING:
    from kadeploy.broadcast.interface import Broadcast


class HttpPullMethod(BroadcastMethod):
    """Method by HTTP."""

    name = "HttpPull"

    def make(self, setup: BroadcastSetup) -> Broadcast:
        from kadeploy.broadcast.http_pull import HttpPullBroadcast

        return HttpPullBroadcast()


MEMBER = HttpPullMethod()
