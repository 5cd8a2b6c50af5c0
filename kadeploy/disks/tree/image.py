# SPDX-License-Identifier: Apache-2.0
"""Tree of an image, with the image's own eyes: no link, however it is written, leads out of it.

What an image holds decides nothing about files of the system that works on it, the miniOS.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
FAULT = 3  # exit status: the tree is the reason
MAX_SIZE = 16 << 20  # bytes of a file that is read
# What the system makes anew when it starts: a file that was put there before is not seen.
VOLATILE = ("/dev", "/proc", "/run", "/sys")
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)
# Errors for which the tree is the reason; of the others the disk may be.
_FAULTS = (errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG)


class ImageFault(Exception):
    """Sentence about what is wrong with the tree."""


class ImageTree:
    """Tree below ``root``. Within its context it is the root of this process, which must be root.

    Paths are those of the system in the tree; of files that are outside nothing can be reached. "/" is the
    tree of the miniOS itself.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.owner = "the miniOS" if root == "/" else "the image"
        self._outside = -1

    def __enter__(self) -> ImageTree:
        if self.root != "/":
            self._outside = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
            os.chroot(self.root)
            os.chdir("/")
        return self

    def __exit__(self, *_: object) -> None:
        if self.root != "/":
            os.fchdir(self._outside)
            os.chroot(".")
            os.close(self._outside)

    def resolve(self, path: str) -> Path:
        """Resolve all links of a path, also where it leads to nothing."""
        try:
            return Path(path).resolve()
        except (RuntimeError, OSError) as error:  # Python 3.11 raises the former
            if isinstance(error, OSError) and error.errno != errno.ELOOP:
                raise
            raise ImageFault(f"{path} of {self.owner} is a loop of symbolic links") from error

    def entry(self, path: str) -> Path:
        """Resolve a path but for its last part, which may be a link."""
        return self.resolve(str(Path(path).parent)) / Path(path).name

    def has(self, path: str) -> bool:
        """Check whether there is a file or a link of this name."""
        return os.path.lexists(self.entry(path))

    def is_file(self, path: str) -> bool:
        """Check whether a path leads to a regular file."""
        return self.resolve(path).is_file()

    def is_program(self, path: str) -> bool:
        """Check whether a path leads to a file that may be executed."""
        return self.is_file(path) and bool(self.resolve(path).stat().st_mode & 0o111)

    def read(self, path: str) -> bytes:
        """Content of a file, empty where there is none; raises ImageFault for what is no regular file."""
        place = self.resolve(path)
        if self._former(path, place) is None:
            return b""
        with place.open("rb") as file:
            content = file.read(MAX_SIZE + 1)
        if len(content) > MAX_SIZE:
            raise ImageFault(f"{path} of {self.owner} has more than {MAX_SIZE >> 20} MiB")
        return content

    def write(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a file whole or not at all. One that was there keeps owner, mode and attributes.

        It is replaced: another name of the same file keeps the former content.
        """
        place = self.resolve(path)
        self.put(place, [content], mode, self._former(path, place))

    def put(
        self, place: Path, pieces: Iterable[bytes], mode: int, former: os.stat_result | None = None
    ) -> None:
        """Write a file of these pieces at a resolved place; it is like ``former``, which it replaces."""
        self.make_directory(str(place.parent))
        temporary = place.with_name(".kadeploy-new")
        try:
            temporary.unlink(missing_ok=True)  # what a killed process has left
            with os.fdopen(os.open(temporary, _NEW, 0o600), "wb") as file:
                file.writelines(pieces)
                file.flush()
                _adapt(file.fileno(), place, former, mode)
            temporary.rename(place)
        except PermissionError as error:
            raise ImageFault(f"{place} of {self.owner} cannot be changed: it is immutable") from error
        finally:
            temporary.unlink(missing_ok=True)

    def add_lines(self, path: str, lines: list[bytes], mode: int = 0o644) -> None:
        """Add lines at the end of a text file, each on a line of its own; those that it has are not added."""
        text = self.read(path)
        there = set(text.split(b"\n"))
        missing = b"".join(line + b"\n" for line in lines if line not in there)
        if missing:
            self.write(path, ended(text) + missing, mode)

    def make_directory(self, path: str, mode: int = 0o755) -> Path:
        """Make a directory, and those above it, where there is none; returns its resolved path."""
        place = self.resolve(path)
        for directory in (*reversed(place.parents), place):
            if directory.is_dir():
                continue
            if os.path.lexists(directory):
                raise ImageFault(f"{directory} of {self.owner} is no directory")
            directory.mkdir()
            directory.chmod(mode if directory == place else 0o755)
        return place

    def remove(self, path: str) -> None:
        """Remove a file or a link, not what the link leads to."""
        self.entry(path).unlink(missing_ok=True)

    def remove_tree(self, place: Path) -> None:
        """Remove whatever is at a resolved place; no link in it is followed."""
        if place.is_dir() and not place.is_symlink():
            for entry in list(place.iterdir()):
                self.remove_tree(entry)
            place.rmdir()
        else:
            place.unlink(missing_ok=True)

    def _former(self, path: str, place: Path) -> os.stat_result | None:
        """State of the file at a place, None if there is none; what is no regular file is a fault."""
        try:
            found = place.lstat()
        except FileNotFoundError:
            return None
        for is_kind, kind in _KINDS:
            if is_kind(found.st_mode):
                raise ImageFault(f"{path} of {self.owner} is {kind}, not a file")
        return found


def lines_of(text: bytes) -> list[str]:
    """Lines of a text file as programs in C read them, without white space at their ends."""
    return [line.rstrip().decode(errors="replace") for line in text.split(b"\n")]


def ended(text: bytes) -> bytes:
    """Text whose last line has an end, so that the next one is a line of its own."""
    return text if not text or text.endswith(b"\n") else text + b"\n"


def is_volatile(place: Path) -> bool:
    """Check whether a place is one of those that a system makes anew when it starts."""
    return str(place).startswith(tuple(f"{directory}/" for directory in VOLATILE)) or str(place) in VOLATILE


def _adapt(target: int, place: Path, former: os.stat_result | None, mode: int) -> None:
    if former is None:
        os.fchmod(target, mode)
        return
    os.fchown(target, former.st_uid, former.st_gid)
    os.fchmod(target, stat.S_IMODE(former.st_mode))
    for name in _attributes(place):
        if name.startswith(("user.", "security.selinux", "system.posix_acl")):
            os.setxattr(target, name, os.getxattr(place, name))


def _attributes(place: Path) -> list[str]:
    try:
        return os.listxattr(place)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return []


def carry_out(work: Callable[[ImageTree, list[str]], None]) -> None:
    """Run the work of this process: arguments are the root of the tree, the work's name, and its own."""
    root, _, *arguments = sys.argv[1:]
    tree = ImageTree(root)
    try:
        work(tree, arguments)
    except ImageFault as fault:
        sys.exit(_told(str(fault), FAULT))
    except OSError as error:
        where = f"{error.filename} of {tree.owner}" if error.filename else tree.owner
        sys.exit(_told(f"{where}: {error.strerror}", FAULT if error.errno in _FAULTS else 1))


def _told(sentence: str, status: int) -> int:
    sys.stderr.write(f"{sentence}\n")
    return status
