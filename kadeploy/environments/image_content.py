# SPDX-License-Identifier: Apache-2.0
"""Content of an image, as far as it was looked into before a node is touched."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Layer(StrEnum):
    """Layer of a disk that an image is made of."""

    UNKNOWN = "unknown"
    DISK = "disk"
    FILE_SYSTEM = "file system"


@dataclass(frozen=True, slots=True)
class ImageContent:
    """Content of an image.

    ``problem``: what a node would fail on, as the rest of a sentence about the image, '' for nothing that was
    seen; ``hint``: what to do then. ``missing``: as ``problem``, of a file to boot that is not there, but may
    be made on the node afterwards. ``size``: bytes that it needs on a disk at least.
    """

    problem: str = ""
    hint: str = ""
    missing: str = ""
    size: int = 0
    layer: Layer = Layer.UNKNOWN
