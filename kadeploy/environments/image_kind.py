# SPDX-License-Identifier: Apache-2.0
"""Kinds of images: facts by which a deployment treats an image, and the command that takes it on a node."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from kadeploy.environments.image_content import ImageContent
from kadeploy.families import Family, NamedMember

if TYPE_CHECKING:  # who only names a kind looks into no image
    from kadeploy.environments.unpacking import Unpacked

STREAM = "-"  # source of a command that reads its standard input
COLLECT = """\
image=$1
shift
mkdir -p "${image%/*}" && cat >"$image" && "$@"
status=$?
rm -f "$image"
exit "$status"
"""


class ImageKind(NamedMember, Protocol):
    """Kind of image; descriptions name it in ``image.kind``."""

    @property
    @abstractmethod
    def brings_file_system(self) -> bool:
        """True if the image is written to the target, which is mounted after the broadcast.

        Before another attempt it is only unmounted. Otherwise a file system is made and mounted before the
        broadcast, and made again before another attempt.
        """

    @property
    @abstractmethod
    def suits_whole_disk(self) -> bool:
        """True if the image may be written to a disk without partitions."""

    @property
    @abstractmethod
    def streamed(self) -> bool:
        """True if the command takes the image while it arrives.

        Otherwise the image is first kept as a file, in the memory of the miniOS.
        """

    @property
    @abstractmethod
    def required_fields(self) -> Mapping[str, str]:
        """Fields that a description must have, and why, as in (a tar image) "is booted by its kernel"."""

    @abstractmethod
    def command(self, source: str, device: str, directory: str) -> list[str]:
        """Command of the miniOS that takes the image, decompressed, from ``source``.

        ``source`` is STREAM, or the path of a file where the kind is not streamed. ``device`` is the target,
        ``directory`` the place where it is mounted.
        """

    def look_into(self, unpacked: Unpacked, wanted: Mapping[str, str]) -> ImageContent:
        """Content of an image, with what a node would fail on.

        ``wanted`` maps the words for the files that must be in it to their paths. A kind that looks at
        nothing accepts what can be unpacked.
        """
        unpacked.drain()
        return ImageContent(size=unpacked.done)


IMAGE_KINDS: Family[ImageKind] = Family("kind of image", "kadeploy.environments.images")


def needs_hypervisor(kind: ImageKind, system: str) -> bool:
    """Check whether a description must name a hypervisor: a kernel of xen is booted by one."""
    return "boot.kernel" in kind.required_fields and system == "xen"


def consumer(
    kind: ImageKind, decompress: Sequence[str], device: str, directory: str, file: str
) -> list[list[str]]:
    """Pipeline that takes the compressed stream of an image on a node; ``file`` is for kinds not streamed."""
    if kind.streamed:
        return [list(decompress), kind.command(STREAM, device, directory)]
    return [list(decompress), ["sh", "-c", COLLECT, "sh", file, *kind.command(file, device, directory)]]
