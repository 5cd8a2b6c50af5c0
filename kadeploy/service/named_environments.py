# SPDX-License-Identifier: Apache-2.0
"""Recorded environments as a caller names them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NamedEnvironments:
    """Environments of a name: the last version, the given one, or all of them.

    Without ``owner`` those of the caller are meant, and public ones where nothing is changed.
    """

    name: str
    owner: str | None = None
    version: int | None = None
    all_versions: bool = False
