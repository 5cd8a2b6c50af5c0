# SPDX-License-Identifier: Apache-2.0
"""Plug-ins of a test, which are members of a family until the test has ended."""

from __future__ import annotations

import pytest

from kadeploy.families import Family, Member


def register(monkeypatch: pytest.MonkeyPatch, family: Family[Member], member: Member) -> Member:
    """Register a member with the built-in ones."""
    monkeypatch.setattr(family, "_loaded", {})
    family.register(member)
    return member
