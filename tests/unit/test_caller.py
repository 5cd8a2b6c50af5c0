# SPDX-License-Identifier: Apache-2.0
"""Callers: the user of a process, whatever its environment says."""

from __future__ import annotations

import grp
import os
import pwd

import pytest

from kadeploy.caller import Caller

UNKNOWN = 4_000_000_000  # no machine has given this number


@pytest.mark.parametrize("name", ["USER", "LOGNAME", "HOME", "SUDO_USER"])
def test_no_variable_changes_who_calls(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "mallory")
    assert Caller.of_process().name == pwd.getpwuid(os.getuid()).pw_name


def test_groups() -> None:
    assert grp.getgrgid(os.getgid()).gr_name in Caller.of_process().groups


def test_numbers_without_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: UNKNOWN)
    monkeypatch.setattr(os, "getgid", lambda: UNKNOWN)
    monkeypatch.setattr(os, "getgroups", list)
    assert Caller.of_process() == Caller(str(UNKNOWN), frozenset({str(UNKNOWN)}))
