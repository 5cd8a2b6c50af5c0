# SPDX-License-Identifier: Apache-2.0
"""Floods by a stranger with many addresses: a node that is to boot boots, and the boot server lives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.attack.floods import KINDS
from kadeploy.boot.request_log import MAX_OTHERS
from kadeploy.boot.requests import OLDER, OTHERS, log_path, requests_of
from kadeploy.lab.services import BOOT_SERVICE, boot_service
from tests.attack.conftest import NODE
from tests.attack.stranger import Stranger
from tests.attack.test_boot_network import reboot
from tests.lab.laboratory import Laboratory

pytestmark = [pytest.mark.fleet, pytest.mark.deploys("fleet-min"), pytest.mark.timeout(120)]

ADDRESSES = [f"172.31.{net}.{host}" for net in range(20, 28) for host in range(1, 26)]
MOST_LINES = 60  # of the boot server's warnings, in all of these tests


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_boots_all_the_same(lab: Laboratory, stranger: Stranger, kind: str) -> None:
    before, began = boot_service(lab.plan), datetime.now(UTC) - timedelta(seconds=1)
    stranger.take_addresses(ADDRESSES)
    flood = stranger.flood_boot_server(kind, lab.addresses[NODE], ADDRESSES)
    outcome = reboot(lab).outcome(60)
    assert outcome.status == 0, str(outcome)
    assert flood.poll() is None, f"{kind} has ended"
    assert boot_service(lab.plan) == before
    asked = [one.path for one in requests_of(lab.plan.repository, lab.addresses[NODE], began)]
    # Who speaks for the node fills its log, which is bounded: what the node itself asked for may be left out.
    assert kind == "speak_for_the_node" or any(path.startswith("/kernels/") for path in asked), asked
    others = (log_path(lab.plan.repository) / OTHERS).iterdir()
    assert len([path for path in others if not path.name.endswith(OLDER)]) <= MAX_OTHERS
    said = (lab.plan.state / f"{BOOT_SERVICE}.log").read_text()
    assert len(said.splitlines()) <= MOST_LINES and "Traceback" not in said, said
