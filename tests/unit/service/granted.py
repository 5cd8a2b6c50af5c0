# SPDX-License-Identifier: Apache-2.0
"""A site whose nodes are used by those who have rights, and services of callers there."""

from __future__ import annotations

from dataclasses import replace

from kadeploy.caller import Caller
from kadeploy.config.server import RightsKind, RightsSettings
from kadeploy.config.site import Site
from kadeploy.operations.power.request import PowerKind, PowerRequest
from kadeploy.service.granting import RightService
from kadeploy.service.rights import Rights
from kadeploy.store.store import Store


def limited(site: Site, kind: RightsKind = RightsKind.DB) -> Site:
    """The site, with rights of a kind; root and deploy are almighty."""
    settings = RightsSettings(kind=kind, almighty_users="root, deploy")
    return replace(site, server=site.server.model_copy(update={"rights": settings}))


def granting(site: Site, store: Store, name: str) -> RightService:
    """Rights for a caller."""
    return RightService(site, store, Caller(name), Rights.of(site))


def off(*nodes: str, user: str = "alice") -> PowerRequest:
    """A request to switch nodes off."""
    return PowerRequest(user=user, nodes=nodes, kind=PowerKind.OFF)
