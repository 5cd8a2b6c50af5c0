# SPDX-License-Identifier: Apache-2.0
"""Reader of what a file of xz holds, of all its streams."""

from __future__ import annotations

import io
import lzma
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as WritableBuffer

PIECE = 64 * 1024  # bytes of input at once
PADDING = 4  # zero bytes behind a stream are a multiple of these


class XzReader(io.RawIOBase):
    """Reader that takes what xz takes.

    That of the library calls a padding between streams damaged, and takes what follows a stream for its end.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._input = b""
        self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WritableBuffer, /) -> int:
        """Read some bytes; 0 at the end of the last stream."""
        view = memoryview(buffer).cast("B")
        output = b""
        while not output:
            if self._stream.eof and not self._begin_stream():
                return 0
            data = b""
            if self._stream.needs_input:
                data, self._input = self._input or self._file.read(PIECE), b""
                if not data:
                    raise EOFError("it ends in the middle of a stream")
            output = self._stream.decompress(data, len(view))
            if self._stream.eof:
                self._input = self._stream.unused_data
        view[: len(output)] = output
        return len(output)

    def _begin_stream(self) -> bool:
        """Begin the stream behind the padding; False where the file ends."""
        zeros = 0
        data, self._input = self._input or self._file.read(PIECE), b""
        while data and not self._input:
            self._input = data.lstrip(b"\0")
            zeros += len(data) - len(self._input)
            data = self._input or self._file.read(PIECE)
        if zeros % PADDING:
            raise lzma.LZMAError("the zero bytes behind a stream are no padding")
        if self._input:
            self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ)
        return bool(self._input)
