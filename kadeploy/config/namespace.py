# SPDX-License-Identifier: Apache-2.0
"""Entering a network namespace, as commands do when server.conf names one (a lab's)."""

from __future__ import annotations

import errno
from pathlib import Path

from kadeploy.errors import ServiceError

DIRECTORY = Path("/run/netns")  # where iproute2 and pyroute2 bind named namespaces


def enter(name: str) -> None:
    """Move this thread, and the threads and processes it starts from now on, into a network namespace.

    Does nothing for the empty name. Call it before any thread or event loop is started, for a namespace
    belongs to a thread. Raises ServiceError where it does not exist or may not be entered.
    """
    if not name:
        return
    if not (DIRECTORY / name).exists():
        raise ServiceError(
            f"the network namespace '{name}' does not exist",
            hint=f"start the lab again with `start_lab`, or see 'ip netns list' ({DIRECTORY})",
        )
    from pyroute2 import netns  # 0.1 s to import, needed with labs only

    try:
        netns.setns(name, flags=0)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            raise ServiceError(
                f"the network namespace '{name}' may not be entered", hint="run this command as root"
            ) from error
        raise ServiceError(
            f"the network namespace '{name}' cannot be entered: {error.strerror or error}",
            hint="the lab did not end well: stop it, and start it again with `start_lab`",
        ) from error
