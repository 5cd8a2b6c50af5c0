# SPDX-License-Identifier: Apache-2.0
"""Log of the server: a line for each record, with the workflow, the nodes and the micro-step of it.

By the logging of the standard library, as asyncssh, aiohttp, SQLAlchemy and uvicorn log: another library
would have to take over their records nevertheless.
"""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Mapping

from kadeploy import nodes as node_sets
from kadeploy.config.server import LogFormat
from kadeploy.log_context import log_context
from kadeploy.masking import masked
from kadeploy.terminal import printable_line
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_data import counts_of, refusal_of, state_of
from kadeploy.workflow.event_kind import EventKind

log = logging.getLogger(__name__)

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:/@[],+#")


class LineFormatter(logging.Formatter):
    """Formatter of lines that a program can take apart: ``key=value`` behind each other, or JSON."""

    def __init__(self, form: LogFormat) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        values = _values(record)
        if self._form is LogFormat.JSON:
            return json.dumps(values)
        return printable_line(" ".join(f"{key}={_quoted(str(value))}" for key, value in values.items()))


def _values(record: logging.LogRecord) -> Mapping[str, object]:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    values: dict[str, object] = {
        "time": f"{stamp}.{int(record.msecs):03}Z",
        "level": record.levelname.lower(),
        **{key: _text(value) for key, value in log_context().items()},
        **{key: _text(value) for key, value in getattr(record, "values", {}).items()},
        "logger": record.name,
        "message": masked(record.getMessage()),
    }
    if record.exc_info:
        values["traceback"] = masked("".join(traceback.format_exception(*record.exc_info)))
    return values


def _text(value: object) -> str:
    return node_sets.fold(value) if isinstance(value, tuple) else str(value)


def _quoted(text: str) -> str:
    return text if text and _PLAIN.issuperset(text) else json.dumps(text, ensure_ascii=False)


def begin(form: LogFormat) -> None:
    """Log to standard error from now on: what the server does, and warnings of all else."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(form))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.lastResort = None  # what is logged outside of operations has a handler
    logging.getLogger("kadeploy.server").setLevel(logging.INFO)


def take(event: Event) -> None:
    """Log what has become of workflows and their nodes; a subscriber of all operations."""
    match event.kind:
        case EventKind.IN_QUEUE | EventKind.PLANNING | EventKind.STARTED:
            _log(event, logging.INFO, event.kind.value, nodes=event.nodes)
        case EventKind.NODE_ENDED:
            failure = event.failure
            level = logging.WARNING if failure else logging.INFO
            why = f": {failure.reason}" if failure else ""
            _log(event, level, f"node {event.phase}{why}", nodes=event.nodes, step=event.micro_step)
        case EventKind.ENDED:
            counts = ", ".join(f"{count} {phase}" for phase, count in counts_of(event).items())
            became = refusal_of(event) or counts or "no node"
            _log(event, logging.INFO, f"{state_of(event)} after {event.seconds:.1f} s: {became}")
        case _:
            pass


def _log(event: Event, level: int, message: str, **values: object) -> None:
    log.log(level, "%s", message, extra={"values": {"workflow": event.wid, **values}})
