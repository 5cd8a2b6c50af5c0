# SPDX-License-Identifier: Apache-2.0
"""The lock on the store of a server: who finds it, and what becomes of a server that loses it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from kadeploy.errors import RefusedError, ServiceError
from kadeploy.store import server_lock
from tests.unit.cli import program
from tests.unit.server_life.conftest import Serve
from tests.unit.server_life.kadeployd import Kadeployd, PowerSite

pytestmark = pytest.mark.slow


def list_workflows(site: PowerSite) -> program.Completed:
    variables = {"PATH": os.environ["PATH"], "KADEPLOY_CONFIG_DIR": str(site.directory)}
    return program.run("kadeploy", ["--list"], site.directory, variables)


def test_a_command_with_a_service_of_its_own_is_refused_while_the_server_lives(
    power_site: PowerSite, serve: Serve
) -> None:
    server = serve()
    refused = list_workflows(power_site)
    assert refused.returncode == 3
    assert refused.stderr == (
        f"kadeploy: the store {power_site.store} is used by kadeployd\n"
        f"hint: it answers at {power_site.socket}\n"
    )
    server.end(signal.SIGKILL)
    assert list_workflows(power_site).returncode == 0


def test_a_second_server_of_the_same_store_is_refused(power_site: PowerSite, serve: Serve) -> None:
    serve()
    second = Kadeployd(power_site)
    assert (second.greeting, second.wait()) == ("", 4)
    assert f"another kadeployd uses the store {power_site.store}" in second.log.read_text()


def test_a_server_that_has_lost_its_lock_ends(power_site: PowerSite, serve: Serve) -> None:
    server = serve()
    Path(f"{power_site.store}.server").unlink()
    assert server.wait() == 4
    assert "the lock on the store, was removed or replaced" in server.log.read_text()


def test_who_looks_for_the_lock_does_not_keep_a_server_from_it(tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite"
    server_lock.check_unserved(store)
    for _ in range(2):
        with server_lock.serving(store, "/run/a.sock") as lock:
            assert lock.held
            with pytest.raises(RefusedError) as refused:
                server_lock.check_unserved(store)
            assert refused.value.hint == "it answers at /run/a.sock"
        server_lock.check_unserved(store)


def test_a_link_to_a_store_leads_to_its_lock(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "store.sqlite"
    link.symlink_to(tmp_path / "real/kadeploy.sqlite")
    with server_lock.serving(tmp_path / "real/kadeploy.sqlite", ""), pytest.raises(RefusedError):
        server_lock.check_unserved(link)


def test_two_servers_of_one_process_have_one_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_lock, "ATTEMPTS_SECONDS", 0.1)
    store = tmp_path / "store.sqlite"
    with (
        server_lock.serving(store, ""),
        pytest.raises(ServiceError, match="another kadeployd"),
        server_lock.serving(store, ""),
    ):
        raise AssertionError
