# SPDX-License-Identifier: Apache-2.0
"""Presence of a node in the miniOS around a micro-step."""

from __future__ import annotations

from enum import Flag, auto


class Presence(Flag):
    """Moments at which a node is in the miniOS, the one system in which the engine runs commands."""

    NEVER = 0
    BEFORE = auto()
    AFTER = auto()
    ALWAYS = BEFORE | AFTER
