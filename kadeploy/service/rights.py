# SPDX-License-Identifier: Apache-2.0
"""Rights: the one place that says who may do what at a site.

Kadeploy3 asked its table of rights for each node. Here everybody may use every node. A workflow or an
environment belongs to somebody: its owner and almighty users change it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from kadeploy.caller import Caller
from kadeploy.config.site import Site


class Action(StrEnum):
    """Action for which a right is needed."""

    DEPLOY = "deploy"
    REBOOT = "reboot"
    POWER = "power"
    SEE_STATUS = "see-status"
    CONTROL_WORKFLOW = "control-workflow"
    CHANGE_ENVIRONMENT = "change-environment"
    PUBLISH_ENVIRONMENT = "publish-environment"


@dataclass(frozen=True, slots=True)
class Rights:
    """Rights at a site; ``almighty`` users may do everything."""

    almighty: frozenset[str] = frozenset()

    @classmethod
    def of(cls, site: Site) -> Rights:
        """Rights that the site's server.conf gives."""
        return cls(site.server.rights.almighty)

    def is_almighty(self, caller: Caller) -> bool:
        """Report that a caller may do everything."""
        return caller.name in self.almighty

    def may(
        self,
        caller: Caller,
        action: Action,
        *,
        nodes: Collection[str] = (),
        partition: int | None = None,
        owner: str = "",
    ) -> bool:
        """Report that a caller may do something to nodes and a partition of theirs, or to what ``owner`` has.

        Nodes and partitions make no difference yet. An environment may be public where its owner is almighty.
        """
        match action:
            case Action.DEPLOY | Action.REBOOT | Action.POWER | Action.SEE_STATUS:
                return True
            case Action.CONTROL_WORKFLOW | Action.CHANGE_ENVIRONMENT:
                return caller.name == owner or self.is_almighty(caller)
            case Action.PUBLISH_ENVIRONMENT:
                return owner in self.almighty
