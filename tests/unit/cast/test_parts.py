# SPDX-License-Identifier: Apache-2.0
"""The address of the head, and what is said of a cast that runs."""

from __future__ import annotations

import pytest

from kadeploy.broadcast.interface import BroadcastProgress
from kadeploy.cast.cast import head_address
from kadeploy.cli.cast_progress import CastProgress
from kadeploy.errors import UsageError

GATEWAY = "192.0.2.1"  # RFC 5737: nobody's


def test_the_head_is_where_most_hosts_see_it() -> None:
    assert head_address([GATEWAY, GATEWAY, "127.0.1.5", "127.0.1.4", "127.0.1.5"]) == "127.0.1.5"


def test_a_head_behind_a_gateway() -> None:
    with pytest.raises(UsageError, match=f"as {GATEWAY}, which is no address of it") as caught:
        head_address([GATEWAY])
    assert "`address`" in caught.value.hint


def test_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    progress = CastProgress(4, 50_000_000)
    assert progress.describe() == "connecting; 0 done, 0 failed of 4 hosts"
    progress.fail("n4")
    for node, received in {"n1": 20_000_000, "n2": 10_000_000, "n3": 1_000_000}.items():
        progress.add(BroadcastProgress(node, received, 0, 50_000_000))
    assert progress.describe() == "10 MB of 50 MB (20%) at 0 B/s; 0 done, 1 failed of 4 hosts"
    now += 2
    progress.add(BroadcastProgress("n1", 50_000_000, 50_000_000, 50_000_000))
    progress.add(BroadcastProgress("n2", 30_000_000, 0, 50_000_000))
    assert progress.describe() == "30 MB of 50 MB (60%) at 15 MB/s, 1 s left; 1 done, 1 failed of 4 hosts"
    now += 20
    progress.add(BroadcastProgress("n2", 40_000_000, 0, 50_000_000))
    assert progress.describe() == "40 MB of 50 MB (80%) at 500 kB/s, 20 s left; 1 done, 1 failed of 4 hosts"
