# SPDX-License-Identifier: Apache-2.0
"""Images that are the bytes of a partition, or of a whole disk."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from kadeploy.environments import recognition
from kadeploy.environments.image_content import ImageContent, Layer
from kadeploy.environments.image_kind import ImageKind

if TYPE_CHECKING:
    from kadeploy.environments.unpacking import Unpacked


class RawImage(ImageKind):
    """Bytes of a device, with the file system that they hold."""

    name = "dd"
    brings_file_system = True
    suits_whole_disk = True
    streamed = True
    required_fields = MappingProxyType({})

    def command(self, source: str, device: str, directory: str) -> list[str]:
        """Command that writes the device; errors of the disk are reported before it ends."""
        return ["dd", f"of={device}", "bs=1M", "iflag=fullblock", "conv=fsync"]

    def look_into(self, unpacked: Unpacked, wanted: Mapping[str, str]) -> ImageContent:
        """Content by its first bytes, and its size."""
        head = unpacked.head()
        if recognition.is_disk(head):
            layer = Layer.DISK
        elif recognition.file_system(head):
            # One with a boot sector may be meant for a disk without partitions.
            layer = Layer.UNKNOWN if recognition.has_boot_sector(head) else Layer.FILE_SYSTEM
        elif what := recognition.describe(head):
            hint = "write 'kind: tar'" if recognition.is_tar(head) else ""
            return ImageContent(f"is declared as the bytes of a disk (dd), but is {what}", hint)
        else:
            layer = Layer.UNKNOWN
        unpacked.drain()
        return ImageContent(size=unpacked.done, layer=layer)


MEMBER = RawImage()
