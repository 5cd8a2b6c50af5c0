# SPDX-License-Identifier: Apache-2.0
"""A command to be run on a node, not run here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """Argument list and standard input."""

    arguments: tuple[str, ...]
    input: bytes = b""
