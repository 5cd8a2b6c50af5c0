# SPDX-License-Identifier: Apache-2.0
"""Kinds of firmware of machines."""

from __future__ import annotations

from enum import StrEnum


class FirmwareKind(StrEnum):
    """Kind of firmware by which a machine boots."""

    BIOS = "bios"
    UEFI = "uefi"
