# SPDX-License-Identifier: Apache-2.0
"""Images that are the bytes of a partition, or of a whole disk."""

from __future__ import annotations

from types import MappingProxyType

from kadeploy.environments.image_kind import ImageKind


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


MEMBER = RawImage()
