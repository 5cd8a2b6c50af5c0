# SPDX-License-Identifier: Apache-2.0
"""Recognition of what a file holds by its first bytes: compressions, archives, disks, file systems, texts."""

from __future__ import annotations

from kadeploy.environments.compression import recognize

HEAD = 128 * 1024  # bytes, up to the superblock of btrfs

_SECTOR = 512
_TAR = (257, b"ustar")
_FILE_SYSTEMS = {
    "ext": (1080, b"\x53\xef"),
    "xfs": (0, b"XFSB"),
    "btrfs": (0x10040, b"_BHRfS_M"),
    "f2fs": (1024, b"\x10\x20\xf5\xf2"),
    "squashfs": (0, b"hsqs"),
    "ntfs": (3, b"NTFS    "),
    "vfat": (82, b"FAT32   "),
    "fat": (54, b"FAT1"),
}
_OTHERS = {
    "a zip archive": (b"PK\x03\x04", b"PK\x05\x06"),
    "a 7z archive": (b"7z\xbc\xaf\x27\x1c",),
    "an rpm package": (b"\xed\xab\xee\xdb",),
    "an ar archive": (b"!<arch>\n",),
    "an lz4 file": (b"\x04\x22\x4d\x18",),
    "an lzma file": (b"\x5d\x00\x00",),
    "a qcow2 image": (b"QFI\xfb",),
    "a cpio archive": (b"070701", b"070702", b"070707", b"\xc7\x71"),
}
_GIT_LFS = b"version https://git-lfs"


def describe(head: bytes) -> str:
    """Phrase for what begins with these bytes, '' where it is nothing that is known."""
    if not head:
        return "empty"
    if compression := recognize(head):
        return f"compressed with {compression}"
    for phrase, magics in _OTHERS.items():
        if head.startswith(magics):
            return phrase
    if is_tar(head):
        return "a tar archive"
    if is_disk(head):
        return "an image of a disk"
    if name := file_system(head):
        return f"an image of a file system ({name})"
    if head.startswith(_GIT_LFS):
        return "a pointer of Git LFS"
    if head.lstrip()[:1] == b"<" and b"html" in head[:1024].lower():
        return "a web page"
    return ""


def is_tar(head: bytes) -> bool:
    """Check for the first header of a tar archive, also of the old form, by its sum."""
    if _has(head, _TAR):
        return True
    block = head[:_SECTOR]
    if len(block) < _SECTOR or not block[0]:
        return False
    try:
        declared = int(block[148:156].strip(b" \x00") or b"x", 8)
    except ValueError:
        return False
    return declared == sum(block[:148]) + 8 * 32 + sum(block[156:])


def is_disk(head: bytes) -> bool:
    """Check for a partition table: a GPT, or an MBR that is no boot sector of a file system."""
    if head[_SECTOR : _SECTOR + 8] == b"EFI PART":
        return True
    if not has_boot_sector(head) or file_system(head):
        return False
    entries = [head[446 + 16 * number :][:16] for number in range(4)]
    plausible = all(entry[0] in (0, 0x80) for entry in entries)
    return plausible and any(entry[4] and any(entry[12:16]) for entry in entries)


def has_boot_sector(head: bytes) -> bool:
    """Check for the mark of a sector that a BIOS starts."""
    return head[510:512] == b"\x55\xaa"


def file_system(head: bytes) -> str:
    """Name of the file system that an image begins with, '' for none that is known."""
    return next((name for name, magic in _FILE_SYSTEMS.items() if _has(head, magic)), "")


def _has(head: bytes, magic: tuple[int, bytes]) -> bool:
    offset, content = magic
    return head[offset : offset + len(content)] == content
