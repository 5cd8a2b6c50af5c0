# SPDX-License-Identifier: Apache-2.0
"""Events of broadcasts, made of their progress and results; ``workflow.event_data`` reads them again."""

from __future__ import annotations

import time
from collections.abc import Sequence

from kadeploy.broadcast.interface import BroadcastProgress
from kadeploy.store.receptions import Reception
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind

_PROGRESS = ("received", "consumed", "upstream", "lane", "position")
_RECEPTION = ("ok", "bytes", "seconds", "lane", "position", "moved", "notes")


def transferring(made: Sequence[BroadcastProgress]) -> Event:
    """Make the event of the progress of a broadcast on some nodes."""
    progress = {one.node: {name: getattr(one, name) for name in _PROGRESS} for one in made}
    data = {"size": max(one.size for one in made), "progress": progress}
    return Event(EventKind.TRANSFERRING, time.time(), tuple(progress), data=data)


def received(rows: Sequence[Reception]) -> Event:
    """Make the event of some nodes' end in a broadcast."""
    receptions = {row.node: {name: getattr(row, name) for name in _RECEPTION} for row in rows}
    for values in receptions.values():
        values["notes"] = list(values["notes"])
    data = {"started": rows[0].started, "receptions": receptions}
    return Event(EventKind.RECEIVED, time.time(), tuple(receptions), data=data)
