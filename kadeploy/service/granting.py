# SPDX-License-Identifier: Apache-2.0
"""Rights of a site for one caller: shown, given and withdrawn."""

from __future__ import annotations

from dataclasses import dataclass

from kadeploy.caller import Caller
from kadeploy.config.site import Site
from kadeploy.errors import RefusedError
from kadeploy.service.lost_rights import end_lost
from kadeploy.service.right_requests import RightsGrant, RightsWithdrawal
from kadeploy.service.rights import Action, Rights
from kadeploy.service.views.rights import RightsChangeView, RightsView
from kadeploy.store import rights as table
from kadeploy.store.rights import ANY, Area
from kadeploy.store.store import Store
from kadeploy.terminal import printable_line


@dataclass(frozen=True, slots=True)
class RightService:
    """Service by which one caller sees the rights on nodes of a site, and an almighty one changes them."""

    site: Site
    store: Store
    caller: Caller
    rights: Rights

    async def list(self, user: str | None = None) -> RightsView:
        """Rights of now: those of a user, else all of them for an almighty caller, his own for another."""
        almighty = self.rights.is_almighty(self.caller)
        if user is None and not almighty:
            user = self.caller.name
        if user is not None and not self.rights.may(self.caller, Action.SEE_RIGHTS, owner=user):
            raise RefusedError(f"{self.caller.name} may not see the rights of {printable_line(user)}")
        return RightsView.of(await table.find(self.store, user))

    async def add(self, asked: RightsGrant) -> RightsChangeView:
        """Give rights; what was begun by those of others that are withdrawn ends.

        Raises RefusedError where the caller is not almighty, or others have the nodes; NotFoundError for
        unknown nodes.
        """
        self._check()
        self.site.find(asked.nodes or ())
        until = None if asked.until is None else asked.until.timestamp()
        changed = await table.add(
            self.store,
            asked.user,
            _area(asked),
            until,
            overwrite=asked.overwrite,
            exempt=self.rights.almighty,
        )
        return await self._changed(changed)

    async def withdraw(self, asked: RightsWithdrawal) -> RightsChangeView:
        """Withdraw rights; what was begun by them ends.

        Raises RefusedError where the caller is not almighty, or for an exception of a right. The site need
        not know the nodes any more.
        """
        self._check()
        return await self._changed(bool(await table.withdraw(self.store, asked.user, _area(asked))))

    def _check(self) -> None:
        if not self.rights.may(self.caller, Action.CHANGE_RIGHTS):
            raise RefusedError(
                f"{self.caller.name} may not change rights",
                hint=f"these users may: {', '.join(sorted(self.rights.almighty))}",
            )

    async def _changed(self, changed: bool) -> RightsChangeView:
        ended = await end_lost(self.site, self.store)
        return RightsChangeView(changed=changed, ended=tuple(ended), limited=self.rights.limited)


def _area(asked: RightsWithdrawal) -> Area:
    return Area(*(tuple(dict.fromkeys(names or (ANY,))) for names in (asked.nodes, asked.devices)))
