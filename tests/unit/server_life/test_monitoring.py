# SPDX-License-Identifier: Apache-2.0
"""What kadeployd tells those who watch over it, and the modes by which an administrator lets things begin."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kadeploy.errors import ServiceError
from kadeploy.server.kept_mode import read_mode, write_mode
from kadeploy.server.metrics import ServerMetrics
from kadeploy.server.monitoring_server import open_port
from kadeploy.store.counts import StoreCounts
from kadeploy.vocabulary.mode import Mode
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from tests.ports import free_port
from tests.unit.cli import program
from tests.unit.server_life.conftest import Serve
from tests.unit.server_life.kadeployd import PowerSite, until


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Values of metrics, by their names and the values of their labels in the order of these."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def control(site: PowerSite, *arguments: str) -> program.Completed:
    variables = {"PATH": os.environ["PATH"]}
    return program.run("kadeployctl", ["-S", str(site.socket), *arguments], site.directory, variables)


@pytest.mark.slow
async def test_metrics_tell_what_has_happened_and_what_is_there(power_site: PowerSite, serve: Serve) -> None:
    port = free_port()
    power_site.configure(monitoring_port=port)
    wid = await power_site.leave_behind()
    server = serve()
    until(lambda: power_site.state(wid) == "done", "it comes to its end")
    assert server.get(power_site, "/v1/workflows")[0] == 200
    assert server.get(power_site, "/v1/nothing")[0] == 404
    found = samples(server.get(power_site, "/metrics")[1])
    assert found["kadeploy_operations_ended_total", "power", "done"] == 1
    assert found["kadeploy_nodes_ended_total", "power", "ok"] == 3
    assert found["kadeploy_step_seconds_count", "ok", "power_on"] == 3
    assert found["kadeploy_step_seconds_sum", "ok", "power_on"] > 0.3
    assert found["kadeploy_http_requests_total", "GET", "/v1/workflows", "200"] == 1
    assert found["kadeploy_http_requests_total", "GET", "other", "404"] == 1
    assert found["kadeploy_queue",] == 0
    assert found["kadeploy_mode", "accept"] == 1
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert samples(answer.read().decode())["kadeploy_nodes_ended_total", "power", "ok"] == 3
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/workflows")


@pytest.mark.slow
def test_it_is_ready_where_all_works_and_says_what_does_not(power_site: PowerSite, serve: Serve) -> None:
    server = serve()
    assert server.get(power_site, "/healthz") == (200, "ok\n")
    status, text = server.get(power_site, "/readyz")
    problems = json.loads(text)["problems"]
    assert (status, list(problems)) == (503, ["boot"])
    assert problems["boot"].startswith("the boot server at http://127.0.0.1:8069/healthz")
    assert control(power_site, "refuse").returncode == 0
    assert json.loads(server.get(power_site, "/readyz")[1])["problems"]["mode"] == (
        "operations are refused: the mode is refuse"
    )


@pytest.mark.slow
async def test_in_drain_nothing_begins_also_after_a_restart(power_site: PowerSite, serve: Serve) -> None:
    first = serve()
    assert control(power_site, "drain").stdout.endswith(": mode drain, 0 operations run, 0 wait\n")
    assert first.end() == 0
    wid = await power_site.leave_behind()
    serve()
    until(lambda: "1 wait" in control(power_site).stdout, "it is in the queue")
    assert power_site.switched() == []
    document = json.loads(control(power_site, "accept", "--json").stdout)
    assert (document["kind"], document["mode"]) == ("server", "accept")
    until(lambda: power_site.state(wid) == "done", "it begins")


@pytest.mark.slow
@pytest.mark.root
def test_only_almighty_users_change_the_mode(power_site: PowerSite, serve: Serve) -> None:
    serve()
    for path in (power_site.directory, *power_site.directory.parents):
        path.chmod(path.stat().st_mode | 0o011)
    done = subprocess.run(
        [Path(sys.executable).with_name("kadeployctl"), "-S", str(power_site.socket), "refuse"],
        capture_output=True,
        text=True,
        user=pwd.getpwnam("nobody").pw_uid,
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(program.CHECKOUT)},
    )
    assert done.returncode == 3
    assert "nobody may not change the mode of kadeployd" in done.stderr
    assert "mode accept" in control(power_site).stdout


def test_a_mode_that_does_not_exist_is_refused(power_site: PowerSite) -> None:
    done = control(power_site, "sleep")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, "hint: there are accept, drain, refuse")


def test_a_mode_is_kept_and_one_that_cannot_be_read_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "store.sqlite"
    assert read_mode(store) is Mode.ACCEPT
    write_mode(store, Mode.DRAIN)
    assert read_mode(store) is Mode.DRAIN
    Path(f"{store}.mode").write_text("?")
    assert read_mode(store) is Mode.ACCEPT
    assert "cannot be read, so operations begin" in caplog.text
    with pytest.raises(ServiceError, match="cannot be written"):
        write_mode(tmp_path / "nowhere/store.sqlite", Mode.DRAIN)


def test_a_port_of_another_process_is_refused() -> None:
    port = free_port()
    [made] = open_port(port)
    made.listen()
    with made, pytest.raises(ServiceError, match=f"the port {port} of 127.0.0.1 cannot be had"):
        open_port(port)
    assert open_port(0) == []


def test_bytes_of_broadcasts_and_nodes_without_a_state_are_counted() -> None:
    metrics = ServerMetrics()
    one = {"ok": True, "bytes": 7, "seconds": 1.0, "lane": 0, "position": 1, "moved": 0, "notes": []}
    data = {"started": 1.0, "receptions": {"n1": one, "n2": one}}
    metrics.take(Event(EventKind.RECEIVED, 1.0, ("n1", "n2"), data=data, wid="D-1"))
    counts = StoreCounts({"deployed": 2}, {("deploy", "running"): 1}, {"reboot": 5}, {"reboot": 9})
    found = samples(metrics.text(counts, nodes=10, queue=3, mode=Mode.REFUSE).decode())
    assert found["kadeploy_broadcast_bytes_total",] == 14
    assert (found["kadeploy_nodes", "deployed"], found["kadeploy_nodes", "unknown"]) == (2, 8)
    assert found["kadeploy_operations", "deploy", "running"] == 1
    slots = [found["kadeploy_window_slots", what, "reboot"] for what in ("held", "waiting")]
    assert (slots, found["kadeploy_queue",], found["kadeploy_mode", "refuse"]) == ([5, 9], 3, 1)
