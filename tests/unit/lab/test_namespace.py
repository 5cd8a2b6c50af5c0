# SPDX-License-Identifier: Apache-2.0
"""Entering a network namespace, as far as it goes without making one."""

from __future__ import annotations

from pathlib import Path

import pytest

from kadeploy.config import namespace
from kadeploy.errors import ServiceError


def test_no_name_is_no_namespace() -> None:
    before = Path("/proc/thread-self/ns/net").readlink()
    namespace.enter("")
    assert Path("/proc/thread-self/ns/net").readlink() == before


def test_a_missing_namespace() -> None:
    with pytest.raises(ServiceError, match="'kalab-gone' does not exist") as raised:
        namespace.enter("kalab-gone")
    assert "`start_lab`" in raised.value.hint


def test_a_name_that_nothing_is_bound_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace, "DIRECTORY", tmp_path)
    (tmp_path / "torn").touch()
    monkeypatch.setattr("pyroute2.netns.NETNS_RUN_DIR", str(tmp_path))
    with pytest.raises(ServiceError, match="'torn'"):
        namespace.enter("torn")
