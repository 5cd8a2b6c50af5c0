# SPDX-License-Identifier: Apache-2.0
"""Rights: the one place that says who may do what at a site.

Nodes are used by those who have a right on them in the store's table, where server.conf says so, else by
everybody; almighty users have no more of them than others. A workflow or an environment belongs to somebody:
its owner and almighty users change it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from kadeploy.caller import Caller
from kadeploy.config.server import RightsKind
from kadeploy.config.site import Site
from kadeploy.errors import RefusedError
from kadeploy.nodes import fold
from kadeploy.store import rights as table
from kadeploy.store.rights import broader
from kadeploy.store.store import Store
from kadeploy.terminal import printable_line

if TYPE_CHECKING:
    from kadeploy.operations.request import Request

Claims = Mapping[str, Sequence[str]]  # nodes, and the devices of each that are written


class Use(StrEnum):
    """Use of nodes, for which a right on each of them is needed."""

    DEPLOY = "deploy"
    REBOOT = "reboot"
    POWER = "switch"
    SEE_STATUS = "see the power status of"


class Action(StrEnum):
    """Action for which nodes do not matter, but what belongs to whom, or who is almighty."""

    CONTROL_WORKFLOW = "control-workflow"
    CHANGE_ENVIRONMENT = "change-environment"
    PUBLISH_ENVIRONMENT = "publish-environment"
    SEE_RIGHTS = "see-rights"
    CHANGE_RIGHTS = "change-rights"


@dataclass(frozen=True, slots=True)
class Rights:
    """Rights at a site, as its server.conf says that they are given; ``almighty`` users administrate it."""

    almighty: frozenset[str] = frozenset()
    kind: RightsKind = RightsKind.DUMMY

    @classmethod
    def of(cls, site: Site) -> Rights:
        """Rights that the site's server.conf gives."""
        return cls(site.server.rights.almighty, site.server.rights.kind)

    @property
    def limited(self) -> bool:
        """Report that a node is not everybody's."""
        return self.kind is RightsKind.DB

    def is_almighty(self, caller: Caller) -> bool:
        """Report that a caller may change what is others', and the rights themselves."""
        return caller.name in self.almighty

    def may(self, caller: Caller, action: Action, *, owner: str = "") -> bool:
        """Report that a caller may do something with what ``owner`` has.

        An environment may be public where its owner is almighty.
        """
        match action:
            case Action.CONTROL_WORKFLOW | Action.CHANGE_ENVIRONMENT | Action.SEE_RIGHTS:
                return caller.name == owner or self.is_almighty(caller)
            case Action.CHANGE_RIGHTS:
                return self.is_almighty(caller)
            case Action.PUBLISH_ENVIRONMENT:
                return owner in self.almighty

    async def check_use(self, site: Site, store: Store, use: Use, request: Request) -> None:
        """Check that the user of a request has the right on all of its nodes, and on what it writes there.

        Raises RefusedError for those that he has not, NotFoundError for nodes that the site has not.
        """
        if not self.limited:
            return
        if missing := await find_missing(store, request.user, claims_of(site, request)):
            parts = (
                f"{device} of {fold(names)}" if device else fold(names) for device, names in missing.items()
            )
            raise RefusedError(
                printable_line(f"{request.user} has no right to {use} {', '.join(parts)}"),
                hint="reserve the nodes, or ask an administrator; `list_rights` shows the rights of now",
            )


def claims_of(site: Site, request: Request) -> Claims:
    """Nodes and devices for which a request needs rights; raises NotFoundError for unknown nodes."""
    found = site.find(request.claimed_nodes)
    devices = {
        name: request.claimed_devices(site.clusters[name]) for name in {node.cluster for node in found}
    }
    return {node.name: devices[node.cluster] for node in found}


async def find_missing(store: Store, user: str, claims: Claims) -> dict[str, list[str]]:
    """Nodes on which a user has no right now, by the device that he needs, '' for any."""
    own = {right.key for right in await table.of_user(store, user)}
    nodes = {node for node, _ in own}
    missing: dict[str, list[str]] = {}
    for node, devices in claims.items():
        for device in devices:
            if own.isdisjoint(broader((node, device))):
                missing.setdefault(device, []).append(node)
        if not devices and nodes.isdisjoint((node, table.ANY)):
            missing.setdefault("", []).append(node)
    return missing
