# SPDX-License-Identifier: Apache-2.0
"""Reader of what a file of zstd holds, of all its frames."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

import zstandard

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as WritableBuffer

PIECE = 8 * 1024  # bytes of input at once: they may hold some thousand times as much
WINDOW = 1 << 31  # bytes: as the miniOS' zstd --long=31 takes


class ZstdReader(io.RawIOBase):
    """Reader that, unlike that of the library, raises EOFError where a frame has no end."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._input = b""
        self._output = memoryview(b"")
        self._begin_frame()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WritableBuffer, /) -> int:
        """Read some bytes; 0 at the end of the last frame."""
        while not self._output:
            data = self._input or self._file.read(PIECE)
            self._input = b""
            if self._frame.eof:
                if not data:
                    return 0
                self._begin_frame()
            if not data:
                raise EOFError("it ends in the middle of a frame")
            self._output = memoryview(self._frame.decompress(data))
            self._input = self._frame.unused_data
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._output))
        view[:count] = self._output[:count]
        self._output = self._output[count:]
        return count

    def _begin_frame(self) -> None:
        self._frame = zstandard.ZstdDecompressor(max_window_size=WINDOW).decompressobj()
