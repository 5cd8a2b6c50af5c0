# SPDX-License-Identifier: Apache-2.0
"""The workflows of a kadeployd that is killed, or ends: the next one goes on with them."""

from __future__ import annotations

import signal
import time
from collections import Counter
from functools import partial

import pytest

from tests.unit.server_life.conftest import Serve
from tests.unit.server_life.kadeployd import PowerSite, until

KILLS = 3

pytestmark = pytest.mark.slow


async def test_a_kadeployd_that_is_killed_again_and_again_brings_the_workflow_to_its_end(
    power_site: PowerSite, serve: Serve
) -> None:
    wid = await power_site.leave_behind()
    for number in range(1, KILLS + 1):
        server = serve()
        until(partial(_has_switched, power_site, 3 * number), "the nodes are switched")
        assert server.end(signal.SIGKILL) == -signal.SIGKILL
        assert power_site.state(wid) == "running"
    assert "end red-1" not in power_site.switched(), "what it had started was killed with it"
    serve()
    until(lambda: power_site.state(wid) == "done", "it comes to its end")
    assert Counter(power_site.switched())["end red-1"] == 1


def _has_switched(site: PowerSite, times: int) -> bool:
    return len(site.switched()) >= times


async def test_on_sigterm_it_waits_for_what_runs_begins_nothing_and_the_next_one_goes_on(
    power_site: PowerSite, serve: Serve
) -> None:
    power_site.configure(slots=1)
    power_site.take(1)
    wid = await power_site.leave_behind()
    server = serve()
    until(lambda: len(power_site.switched()) == 1, "a node is switched")
    assert server.end() == 0
    first = power_site.switched()
    assert len(first) == 2 and first[1] == first[0].replace("begin", "end")
    assert power_site.state(wid) == "running"
    power_site.take(0)
    serve()
    until(lambda: power_site.state(wid) == "done", "it comes to its end")
    assert Counter(power_site.switched()) == {
        f"{what} red-{number}": 1 for what in ("begin", "end") for number in (1, 2, 3)
    }


async def test_a_second_sigterm_breaks_off_what_runs(power_site: PowerSite, serve: Serve) -> None:
    power_site.take(20)
    wid = await power_site.leave_behind()
    server = serve()
    until(lambda: len(power_site.switched()) == 3, "the nodes are switched")
    began = time.monotonic()
    server.send(signal.SIGTERM)
    time.sleep(0.5)
    assert server.process.poll() is None, "it waits for what runs"
    assert server.end() == 0
    assert time.monotonic() - began < 10
    assert power_site.state(wid) == "running"
    power_site.take(0)
    serve()
    until(lambda: power_site.state(wid) == "done", "it comes to its end")


async def test_it_waits_no_longer_than_it_was_told(power_site: PowerSite, serve: Serve) -> None:
    power_site.configure(stop_seconds=0.5)
    power_site.take(20)
    wid = await power_site.leave_behind()
    server = serve()
    until(lambda: len(power_site.switched()) == 3, "the nodes are switched")
    began = time.monotonic()
    assert server.end() == 0
    assert time.monotonic() - began < 10
    assert power_site.state(wid) == "running"


async def test_what_a_user_has_cancelled_is_not_gone_on_with_and_what_is_held_stays_held(
    power_site: PowerSite, serve: Serve
) -> None:
    cancelled, held = [await power_site.leave_behind(nodes=[node]) for node in ("red-1", "red-2")]
    power_site.change("update workflows set cancelled_by = 'root' where id = ?", cancelled)
    power_site.change("update workflows set state = 'held', owner = '' where id = ?", held)
    serve()
    until(lambda: power_site.state(cancelled) == "aborted", "it is given up")
    assert power_site.state(held) == "held"
    assert power_site.switched() == []


async def test_a_workflow_that_cannot_go_on_stops_no_other(power_site: PowerSite, serve: Serve) -> None:
    unknown = await power_site.leave_behind(nodes=["red-1"])
    good = await power_site.leave_behind(nodes=["red-2"])
    power_site.change("update workflows set request = '{\"request\": {}}' where id = ?", unknown)
    server = serve()
    until(lambda: power_site.state(good) == "done", "the other one comes to its end")
    assert power_site.state(unknown) == "planning"
    assert f"{unknown} of root cannot go on" in server.log.read_text()
