# SPDX-License-Identifier: Apache-2.0
"""Secrets of boots, masked wherever a console is shown or kept: kernels print their command line there."""

from __future__ import annotations

import re

SECRET_PARAMETER = "kadeploy.boot"  # noqa: S105 - the name of the parameter of the kernel's command line

_MASK = "***"
_BEGINNING = f"{SECRET_PARAMETER}=".encode()
_VALUE = re.compile(rb"[0-9A-Za-z_-]*")
_PARAMETER = re.compile(rf"({re.escape(SECRET_PARAMETER)}=)[0-9A-Za-z_-]+")


def masked(text: str) -> str:
    """Text without the secrets of boots in it."""
    return _PARAMETER.sub(rf"\1{_MASK}", text)


class MaskedStream:
    """Stream of a console, as it comes: a secret may be in several pieces, and nothing is held back."""

    def __init__(self) -> None:
        self._matched = 0  # bytes of the beginning that have come
        self._in_value = False

    def feed(self, data: bytes) -> bytes:
        """Mask the next piece."""
        shown = bytearray()
        position = 0
        while position < len(data):
            if self._in_value:
                match = _VALUE.match(data, position)
                position = match.end() if match else position
                self._in_value = position == len(data)
            elif self._matched:
                position = self._go_on(data, position, shown)
            else:
                start = data.find(_BEGINNING[:1], position)
                end = len(data) if start < 0 else start + 1
                shown += data[position:end]
                self._matched = int(start >= 0)
                position = end
        return bytes(shown)

    def _go_on(self, data: bytes, position: int, shown: bytearray) -> int:
        """Look at one byte behind those that have matched; returns where to look next."""
        if data[position] != _BEGINNING[self._matched]:
            self._matched = 0  # the first byte comes nowhere else in the beginning: it may begin here again
            return position
        shown.append(data[position])
        self._matched += 1
        if self._matched == len(_BEGINNING):
            self._matched, self._in_value = 0, True
            shown += _MASK.encode()
        return position + 1
