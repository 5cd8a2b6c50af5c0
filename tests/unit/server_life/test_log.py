# SPDX-License-Identifier: Apache-2.0
"""Lines of the server's log: what a program can take apart, with the workflow, the nodes and the step."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from kadeploy.config.server import LogFormat
from kadeploy.log_context import logging_of
from kadeploy.server import log
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from tests.unit.server_life.conftest import Serve
from tests.unit.server_life.kadeployd import PowerSite, until


def record(message: str, **more: object) -> logging.LogRecord:
    return logging.LogRecord("kadeploy.power", logging.WARNING, "", 1, message, (), None, **more)  # type: ignore[arg-type]


def parsed(line: str) -> dict[str, str]:
    """Values of a line of text."""
    values, rest = {}, line
    while rest:
        key, _, rest = rest.partition("=")
        if rest.startswith('"'):
            values[key], end = json.JSONDecoder().raw_decode(rest)
            rest = rest[end + 1 :]
        else:
            values[key], _, rest = rest.partition(" ")
    return values


@pytest.mark.parametrize("form", LogFormat)
def test_a_line_has_the_context_in_either_form(form: LogFormat) -> None:
    with logging_of(workflow="D-1"), logging_of(nodes=("node-1", "node-2"), step="reboot"):
        line = log.LineFormatter(form).format(record('it says "no=1"\n\x1b[31m'))
    values = json.loads(line) if form is LogFormat.JSON else parsed(line)
    assert values.pop("time").endswith("Z")
    assert (values["workflow"], values["nodes"], values["step"]) == ("D-1", "node-[1-2]", "reboot")
    assert (values["level"], values["logger"]) == ("warning", "kadeploy.power")
    assert values["message"].startswith('it says "no=1"')
    assert "\n" not in line and "\x1b" not in line


def test_a_defect_has_its_traceback_in_the_line() -> None:
    try:
        raise KeyError("x")
    except KeyError:
        made = record("defect")
        made.exc_info = sys.exc_info()
    values = parsed(log.LineFormatter(LogFormat.TEXT).format(made))
    assert values["traceback"].endswith("KeyError: 'x'\n")


def test_ends_of_nodes_and_of_workflows_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kadeploy.server")
    failure = {"reason": "it broke", "evidence": "", "cause": ""}
    ended = {"phase": "ko", "failure": failure}
    log.take(Event(EventKind.NODE_ENDED, 1.0, ("n1",), "A", "B", "sync", data=ended, wid="D-1"))
    data = {"state": "done", "counts": {"ko": 1}, "seconds": 2.0}
    log.take(Event(EventKind.ENDED, 1.0, data=data, wid="D-1"))
    log.take(Event(EventKind.STEP_STARTED, 1.0, ("n1",), wid="D-1"))
    assert [one.getMessage() for one in caplog.records] == ["node ko: it broke", "done after 2.0 s: 1 ko"]
    values = parsed(log.LineFormatter(LogFormat.TEXT).format(caplog.records[0]))
    assert (values["workflow"], values["nodes"], values["step"]) == ("D-1", "n1", "sync")


@pytest.mark.slow
async def test_the_log_of_a_server_tells_of_its_workflows_once(power_site: PowerSite, serve: Serve) -> None:
    power_site.configure(log="json")
    wid = await power_site.leave_behind(nodes=["red-2"])
    server = serve()
    until(lambda: power_site.state(wid) == "done", "it comes to its end")
    server.end()
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    own = [line["message"].partition(" after")[0] for line in lines if line.get("workflow") == wid]
    assert own == ["planning", "started", "node ok", "done"]
    assert [line["message"] for line in lines if "workflow" not in line] == [f"goes on with {wid}"]
