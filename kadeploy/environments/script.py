# SPDX-License-Identifier: Apache-2.0
"""Scripts that nodes run: problems that their first line shows."""

from __future__ import annotations

from kadeploy.terminal import printable_line

HEAD = 4096  # bytes that are looked at
_MARKS = {
    b"\xef\xbb\xbf": "begins with a byte order mark, so it is not run by its interpreter",
    b"\xff\xfe": "is UTF-16 text",
    b"\xfe\xff": "is UTF-16 text",
}
# Line by which a script says that kernel, initrd and hypervisor are as the image brings them.
NO_BOOT_FILES = b"# kadeploy: makes no boot files"
AS_UNIX = "save it as UTF-8 text with line ends of Unix: dos2unix"


def makes_boot_files(head: bytes) -> bool:
    """Check whether a script that begins so may make boot files: any does that does not deny it."""
    return NO_BOOT_FILES not in head.splitlines()


def problem(head: bytes) -> str:
    """Problem of a script that begins so, as the rest of a sentence; '' if it can be executed."""
    for mark, text in _MARKS.items():
        if head.startswith(mark):
            return text
    if not head.startswith(b"#!"):
        return ""  # a program, or text that a shell runs
    line = head.partition(b"\n")[0]
    if line.endswith(b"\r"):
        return "has line ends of Windows: its first line ends with a carriage return"
    words = line[2:].split()
    if not words:
        return "names no interpreter in its first line"
    if not words[0].startswith(b"/"):
        return (
            f"names the interpreter {printable_line(words[0].decode(errors='replace'))} without its directory"
        )
    return ""
