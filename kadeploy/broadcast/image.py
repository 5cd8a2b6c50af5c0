# SPDX-License-Identifier: Apache-2.0
"""Checks of the file that is broadcast against its declared size and digest."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from pathlib import Path

from kadeploy.broadcast.interface import ImageSource

HASH_CHUNK = 1 << 20


def size_problem(image: ImageSource) -> str:
    """Check the file before anything is sent; returns the problem, '' for none."""
    try:
        with image.readable.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        return f"the image {image.path} cannot be read: {error.strerror}"
    return "" if size == image.size else f"the image {image.path} has {size} bytes, not {image.size}"


async def sha256_of(path: Path) -> str:
    """SHA-256 in hexadecimal, read in a thread that ends with the caller; raises OSError."""
    stopped = threading.Event()
    reading = asyncio.create_task(asyncio.to_thread(_digest, path, stopped))
    try:
        return await asyncio.shield(reading)
    finally:
        stopped.set()
        await asyncio.wait([reading])


def _digest(path: Path, stopped: threading.Event) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while (piece := file.read(HASH_CHUNK)) and not stopped.is_set():
            digest.update(piece)
    return digest.hexdigest()
