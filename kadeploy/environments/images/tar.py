# SPDX-License-Identifier: Apache-2.0
"""Images that are tar archives of all files of a system."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from kadeploy.environments import recognition
from kadeploy.environments.image_content import ImageContent
from kadeploy.environments.image_kind import ImageKind

if TYPE_CHECKING:
    from kadeploy.environments.tree import Tree
    from kadeploy.environments.unpacking import Unpacked

# Of itself tar restores user attributes only: ping would lose its capability.
ALL_XATTRS = ("--xattrs", "--xattrs-include=*")
# Directories that the root of a system has, by which a folder around it is told.
_OF_A_SYSTEM = ("etc", "usr", "bin", "sbin", "lib", "var")


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

    def look_into(self, unpacked: Unpacked, wanted: Mapping[str, str]) -> ImageContent:
        """Content by the members of the archive: there is one, it has no folder around it, and the files."""
        from kadeploy.environments.tree import Tree
        from kadeploy.environments.unpacking import read_tree

        head = unpacked.head()
        if not recognition.is_tar(head) and any(head):
            what = recognition.describe(head) or "something else"
            hint = "" if what == "something else" or "image" not in what else "write 'kind: dd'"
            return ImageContent(f"is declared as a tar archive, but holds {what}", hint)
        tree = Tree()
        read_tree(unpacked, tree)
        if not tree.count and wanted and not unpacked.cut:
            return ImageContent(
                "is an empty archive", "tar -C ROOT -czf IMAGE . makes one of the files in ROOT"
            )
        if folder := _folder_around(tree):
            hint = f"make it of what is in the folder: tar -C {folder} -czf IMAGE ."
            return ImageContent(f"has all of its files in the folder {folder}", hint)
        missing = "" if unpacked.cut else _missing(tree, wanted)
        hint = _near(tree, missing) if missing else ""
        return ImageContent(hint=hint, missing=missing and f"has no {missing}", size=tree.size)


def _folder_around(tree: Tree) -> str:
    """The one folder that holds a whole system, '' for none."""
    names = tree.names
    if len(names) != 1 or names[0] in _OF_A_SYSTEM:
        return ""
    inside = [name for name in _OF_A_SYSTEM if tree.has_directory(f"{names[0]}/{name}")]
    return names[0] if inside else ""


def _missing(tree: Tree, wanted: Mapping[str, str]) -> str:
    """The first file that is not there, as ``kernel /vmlinuz``; '' for none."""
    for what, path in wanted.items():
        found = tree.find(path)
        if found is None or found[1].kind != "file":
            return f"{what} {path}"
    return ""


def _near(tree: Tree, missing: str) -> str:
    """Hint that names files that may be meant."""
    word = "initr" if missing.startswith("initrd") else "vmlinu"
    near = [f"/{path}" for path in tree.files if word in path.rpartition("/")[2]][:4]
    return f"it has {', '.join(near)}: correct 'boot' in the description" if near else ""


MEMBER = TarImage()
