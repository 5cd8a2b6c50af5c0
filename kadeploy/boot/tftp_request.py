# SPDX-License-Identifier: Apache-2.0
"""Request of TFTP as firmware sends it, read tolerantly: RFC 1350 with options (RFC 2347, 2348, 2349).

Firmware pads its requests, forgets the zero at their end, and puts into names what its DHCP client has read
beyond them. An option that is wrong or that nobody here knows is as if it was not there: RFC 2347 wants no
answer to it, and strict firmware ends a transfer for an answer that it has not asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

READ, WRITE = b"\0\1", b"\0\2"  # opcodes
MAX_REQUEST = 2048  # bytes; RFC 2347 says 512, and firmware pads to less than a frame
PLAIN_BLOCK = 512
_BLOCKS = range(8, 65464 + 1)  # bytes, RFC 2348; of a larger one the client gets the largest
_TIMES = range(1, 255 + 1)  # seconds, RFC 2349
_MODES = (b"octet", b"netascii")  # both get the bytes as they are: a boot file has no lines to convert
_DIGITS = 20  # of a number


@dataclass(frozen=True, slots=True)
class TftpRequest:
    """Request for a file; ``name`` has / between its parts.

    ``known_mode`` is False for modes of which there is nothing to send. Options that are taken: ``block``
    and ``interval``, in bytes and seconds, None where they are not asked for, and whether the size is.
    ``spelt`` has the name of each of them as the client has written it, in its order.
    """

    name: str
    upload: bool = False
    known_mode: bool = True
    block: int | None = None
    interval: int | None = None
    size: bool = False
    spelt: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, packet: bytes) -> Self | None:
        """Request in a packet, None for any other packet and for garbage."""
        if packet[:2] not in (READ, WRITE) or len(packet) > MAX_REQUEST:
            return None
        name, *words = packet[2:].split(b"\0")
        if not name or not words or not words[0]:
            return None
        block: int | None = None
        interval: int | None = None
        size = False
        spelt: dict[str, str] = {}
        for option, value in _options(words[1:]):
            match option.lower():
                case b"blksize" if (number := _number(value)) >= _BLOCKS.start:
                    block = min(number, _BLOCKS[-1])
                case b"timeout" if _number(value) in _TIMES:
                    interval = _number(value)
                case b"tsize" if _number(value) >= 0:
                    size = True
                case _:
                    continue
            spelt[option.lower().decode()] = option.decode()
        return cls(
            name=_file_name(name),
            upload=packet[:2] == WRITE,
            known_mode=words[0].lower() in _MODES,
            block=block,
            interval=interval,
            size=size,
            spelt=tuple(spelt.items()),
        )

    def accepted(self, size: int) -> dict[str, str]:
        """Options to confirm to the client, where the file has this size."""
        values = {"blksize": self.block, "timeout": self.interval, "tsize": size}
        return {written: str(values[option]) for option, written in self.spelt}


def _options(words: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Pairs of name and value, each name once, up to the padding."""
    pairs: dict[bytes, tuple[bytes, bytes]] = {}
    for option, value in zip(words[::2], words[1::2], strict=False):
        if not option:
            break
        pairs.setdefault(option.lower(), (option, value))
    return list(pairs.values())


def _number(text: bytes) -> int:
    """Number in decimal digits, -1 for anything else."""
    return int(text) if text.isdigit() and len(text) <= _DIGITS else -1


def _file_name(name: bytes) -> str:
    """Name of a file: Intel's PXE puts the end of DHCP's options behind it, and Windows' loaders write \\."""
    return name.rstrip(b"\xff").replace(b"\\", b"/").decode(errors="replace")
