# SPDX-License-Identifier: Apache-2.0
"""Files of xz are taken and refused as xz takes and refuses them."""

from __future__ import annotations

import io
import lzma
import os
import subprocess

import pytest

from kadeploy.environments.compression import Compression
from kadeploy.environments.xz_reader import PIECE

ONE, TWO = b"text" * 9000, os.urandom(3 * PIECE)
A, B = lzma.compress(ONE), lzma.compress(TWO, check=lzma.CHECK_CRC32)


@pytest.mark.parametrize(
    ("content", "good"),
    [
        (A, True),
        (A + B, True),
        (A + bytes(4) + B, True),
        (B + bytes(PIECE + 8) + A + bytes(8), True),
        (A + bytes(PIECE), True),
        (lzma.compress(b"") + bytes(4) + A, True),
        (A + bytes(3), False),
        (A + bytes(5) + B, False),
        (bytes(4) + A, False),
        (A + b"garbage", False),
        (A + bytes(8) + b"garbage", False),
        (A + B[:-1], False),
        (A + bytes(4) + B[:5], False),
        (A[: len(A) // 2], False),
        (b"", False),
    ],
)
def test_streams_and_what_is_between_them(content: bytes, good: bool) -> None:
    node = subprocess.run(Compression.XZ.facts.decompress, input=content, capture_output=True, timeout=30)
    assert (node.returncode == 0) is good or not content
    reader = io.BufferedReader(Compression.XZ.facts.reader(io.BytesIO(content)), PIECE)
    if good:
        assert (reader.read(), reader.read(1)) == (node.stdout, b""), "the end stays the end"
    else:
        with pytest.raises((EOFError, lzma.LZMAError)):
            reader.read()
