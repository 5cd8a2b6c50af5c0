# SPDX-License-Identifier: Apache-2.0
"""Scopes of micro-steps."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """Nodes of one run of a micro-step: each node on its own, or a set of nodes together."""

    NODE = "node"
    SET = "set"
