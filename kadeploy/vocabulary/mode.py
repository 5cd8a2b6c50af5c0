# SPDX-License-Identifier: Apache-2.0
"""Modes of a server."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """Mode of a server.

    ``accept``: operations begin; ``drain``: those that run go on, and others wait in the queue; ``refuse``:
    those that run or wait go on, and others are refused.
    """

    ACCEPT = "accept"
    DRAIN = "drain"
    REFUSE = "refuse"
