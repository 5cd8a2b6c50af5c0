# SPDX-License-Identifier: Apache-2.0
"""What boot programs ask for by TFTP, and how long they are patient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass


class Patience(ABC):
    """When to send the last packet again, and when to give up; ``timeout``: seconds until then."""

    timeout: float

    @abstractmethod
    def answered(self, seconds: float) -> None:
        """The answer took so long."""

    @abstractmethod
    def expired(self) -> bool:
        """No answer within ``timeout``; whether to try once more."""


class IpxePatience(Patience):
    """iPXE's src/net/retry.c: 0.25 s, doubled until it exceeds 10 s; adapted to the round trips seen."""

    _LEAST, _MOST = 0.25, 10.0

    def __init__(self) -> None:
        self.timeout = self._LEAST
        self._expiries = 0

    def answered(self, seconds: float) -> None:
        if self._expiries:
            self._expiries -= 1
        else:
            self.timeout = max(self._LEAST, self.timeout * 7 / 8 + seconds / 2)

    def expired(self) -> bool:
        self._expiries += 1
        self.timeout *= 2
        return self.timeout <= self._MOST


class FirmwarePatience(Patience):
    """EDK2's UefiPxeBcDxe: 4 s, six times for each packet."""

    timeout = 4.0
    _TRIES = 6

    def __init__(self) -> None:
        self._tries = 1

    def answered(self, seconds: float) -> None:
        self._tries = 1

    def expired(self) -> bool:
        self._tries += 1
        return self._tries <= self._TRIES


@dataclass(frozen=True, slots=True)
class Firmware:
    """A boot program; ``options``: of its read request, as RFC 2347 writes them."""

    name: str
    options: tuple[tuple[str, int], ...]
    patience: type[Patience]


# An old boot ROM; nothing binds its patience, so it gets that of today's firmware.
ROM = Firmware("rom", (), FirmwarePatience)
# What EDK2 asks for on Ethernet (PcdPxeTftpWindowSize is 4).
UEFI = Firmware("uefi", (("tsize", 0), ("blksize", 1468), ("windowsize", 4)), FirmwarePatience)
# TFTP_MAX_BLKSIZE of iPXE's tftp.h.
IPXE = Firmware("ipxe", (("blksize", 1432), ("tsize", 0)), IpxePatience)

FIRMWARE = {firmware.name: firmware for firmware in (ROM, UEFI, IPXE)}
