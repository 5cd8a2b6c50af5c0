# SPDX-License-Identifier: Apache-2.0
"""Secrets, masked wherever they would be shown or kept: of boots on consoles, and passwords in URLs.

Kernels print their command line, which has the secret of the boot, on the console.
"""

from __future__ import annotations

import re
from typing import Any

SECRET_PARAMETER = "kadeploy.boot"  # noqa: S105 - the name of the parameter of the kernel's command line

_MASK = "***"
_BEGINNING = f"{SECRET_PARAMETER}=".encode()
_VALUE = re.compile(rb"[0-9A-Za-z_-]*")
_PARAMETER = re.compile(rf"({re.escape(SECRET_PARAMETER)}=)[0-9A-Za-z_-]+")
# What stands before the last @ of a URL's authority (RFC 3986): user:password, or a token alone.
_PASSWORD = re.compile(r"(://[^\s/?#:@\"'<>]*):[^\s/?#\"'<>]*@")
_TOKEN = re.compile(r"(?i)(https?://)[^\s/?#:@\"'<>]+@")


def masked(text: str) -> str:
    """Text without the secrets of boots, and without the passwords of URLs."""
    text = _PARAMETER.sub(rf"\1{_MASK}", text)
    return _without_passwords(text) if "@" in text else text


def _without_passwords(text: str) -> str:
    return _TOKEN.sub(rf"\1{_MASK}@", _PASSWORD.sub(rf"\1:{_MASK}@", text))


def masked_values(value: Any) -> Any:
    """JSON values of which each text is masked."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {name: masked_values(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked_values(item) for item in value]
    return value


def is_masked(text: str) -> bool:
    """True for a URL whose password is the mask itself."""
    return f":{_MASK}@" in text or f"://{_MASK}@" in text


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
