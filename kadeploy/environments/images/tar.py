# SPDX-License-Identifier: Apache-2.0
"""Images that are tar archives of all files of a system."""

from __future__ import annotations

from types import MappingProxyType

from kadeploy.environments.image_kind import ImageKind

# Of itself tar restores user attributes only: ping would lose its capability.
ALL_XATTRS = ("--xattrs", "--xattrs-include=*")


class TarImage(ImageKind):
    """Archive that is unpacked into a new file system."""

    name = "tar"
    brings_file_system = False
    suits_whole_disk = False
    streamed = True
    required_fields = MappingProxyType(
        {"boot.kernel": "is booted by its kernel", "filesystem": "is unpacked into one"}
    )

    def command(self, source: str, device: str, directory: str) -> list[str]:
        """Command that unpacks the archive."""
        return ["tar", "-xpf", source, "-C", directory, "--numeric-owner", "--acls", *ALL_XATTRS]


MEMBER = TarImage()
