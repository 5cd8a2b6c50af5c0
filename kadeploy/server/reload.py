# SPDX-License-Identifier: Apache-2.0
"""Reload: the configuration is read again as a whole, and taken only if all of it is good."""

from __future__ import annotations

from kadeploy.config import site as configuration
from kadeploy.config.site import Site
from kadeploy.errors import RefusedError


def read_again(site: Site) -> Site:
    """Site as its files say now; operations that run keep what they began with.

    Raises FileError with all problems of the files, and RefusedError where a value has changed that counts
    when the server starts.
    """
    found = configuration.load(site.directory)
    before, after = _fixed(site), _fixed(found)
    if changed := [name for name, value in after.items() if before[name] != value]:
        raise RefusedError(f"{', '.join(changed)} of server.conf can change only with a restart of kadeployd")
    return found


def _fixed(site: Site) -> dict[str, object]:
    server = site.server
    return {
        "database.name": site.path(server.database.name),
        "network.namespace": server.network.namespace,
        "kadeployd.socket": site.path(server.kadeployd.socket),
        "kadeployd.log": server.kadeployd.log,
        "kadeployd.monitoring_port": server.kadeployd.monitoring_port,
    }
