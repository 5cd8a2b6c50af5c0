# SPDX-License-Identifier: Apache-2.0
"""Boot repository, the directory from which machines boot: kernels, and boot programs.

    boot.ipxe              script that DHCP hands to iPXE; continues with the node's profile
    profiles/172.31.0.11   no file: kadeploy-boot makes profiles of orders, at paths as server.conf says
    pxelinux.0, *.c32      PXELINUX (method PXElinux)
    pxelinux.cfg/AC1F000B  a profile, too; directory and names are PXELINUX's own
    local-disk-SHA256.efi  disk loader of UEFI machines, named by what it is made of; never changed either
    kernels/SHA256-NAME    kernels and initrds, named by content: a file is never changed once it is there
    images/                images to be fetched over HTTP

Functions here block on the disk; call them through asyncio.to_thread where a loop runs.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from io import BufferedRandom, BufferedReader
from pathlib import Path, PurePosixPath

from kadeploy.boot import disk_loader, profile
from kadeploy.boot.program import BOOT_PROGRAMS
from kadeploy.config.clusters import Node
from kadeploy.config.firmware import FirmwareKind
from kadeploy.config.server import ExportKind, Network, NetworkBoot
from kadeploy.config.site import Site
from kadeploy.errors import NotFoundError, RefusedError, ServiceError
from kadeploy.terminal import printable_line

DIGEST_CHARACTERS = 16
_NO_PROFILES = ("kernels", "images")  # directories that never have any, wherever a boot program has them

logger = logging.getLogger(__name__)


class BootRepository:
    """Writer of the boot repository; every write appears at once and whole, or not at all.

    ``uefi``: whether nodes of the site start by UEFI.
    """

    def __init__(self, root: Path, boot: NetworkBoot, network: Network, *, uefi: bool = False) -> None:
        self.root = root
        self._uefi = uefi
        self._program = BOOT_PROGRAMS[boot.method]
        self._export = boot.export.kind
        self._network = network
        self._profiles = boot.profiles

    @classmethod
    def of(cls, site: Site) -> BootRepository:
        """Repository that a site's server.conf describes."""
        boot = site.server.pxe.dhcp
        uefi = any(node.firmware is FirmwareKind.UEFI for node in site.nodes.values())
        return cls(site.path(boot.repository), boot, site.server.network, uefi=uefi)

    @property
    def base_url(self) -> str:
        """URL of the repository as a boot program fetches from it, without a slash at its end."""
        ports = self._network.ports
        port = ports.http if self._export is ExportKind.HTTP else ports.tftp
        return f"{self._export}://{self._network.server_address}:{port}"

    def prepare(self) -> None:
        """Make the directories and write the files that are the same for all nodes.

        Raises ServiceError where the repository cannot be written, or the boot program, or what nodes with
        UEFI need, is not installed.
        """
        try:
            for name in (self.profile_directory, *_NO_PROFILES):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            self._prepare_disk_loader()
            files = self._program.common_files(self.base_url, self._profiles, self._disk_loader())
            for name, content in files.items():
                if isinstance(content, Path):
                    _copy(content, self.root / name)
                else:
                    _write(self.root / name, content.encode())
        except OSError as error:
            raise ServiceError(f"the boot repository {self.root} cannot be made: {error}") from error

    def _prepare_disk_loader(self) -> None:
        if not self._program.wants_disk_loader:
            return
        try:
            path = self.root / disk_loader.file_name()
            if not path.is_file():
                _write(path, disk_loader.build())
        except ServiceError as error:
            if self._uefi:
                raise
            logger.info("machines with UEFI boot their disks as their firmware goes on: %s", error.message)

    def _disk_loader(self) -> str:
        """URL of the disk loader, '' where it is not there."""
        try:
            name = disk_loader.file_name()
        except ServiceError:  # which `prepare` has told
            return ""
        return f"{self.base_url}/{name}" if (self.root / name).is_file() else ""

    def install_kernel(self, path: Path) -> str:
        """Copy a kernel or an initrd in, unless its content is there; its path below ``base_url``.

        Copied and not linked, for a build may write into the original again. Raises NotFoundError where
        it cannot be read, ServiceError where the repository cannot be written.
        """
        try:
            with path.open("rb") as reader:
                digest = hashlib.file_digest(reader, "sha256").hexdigest()
                relative = f"kernels/{digest[:DIGEST_CHARACTERS]}-{_safe_name(path.name)}"
                target = self.root / relative
                if not target.is_file():
                    reader.seek(0)
                    self._copy_kernel(reader, target, digest)
        except OSError as error:
            raise NotFoundError(f"the boot file {path} cannot be read: {error.strerror}") from error
        return relative

    def _copy_kernel(self, reader: BufferedReader, target: Path, digest: str) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with _replacing(target) as writer:
                shutil.copyfileobj(reader, writer, 1024 * 1024)
                writer.flush()
                writer.seek(0)
                if hashlib.file_digest(writer, "sha256").hexdigest() != digest:
                    raise RefusedError(f"{reader.name} was changed while it was copied", hint="try again")
        except OSError as error:
            raise ServiceError(f"{target} cannot be written: {error.strerror}") from error

    def minios_profile(self, *, kernel: str, initrd: str, params: str = "", secret: bool = False) -> str:
        """Text of a profile that boots the miniOS from this repository (see profile.minios)."""
        return profile.minios(
            *(self._program, self.base_url),
            kernel=kernel,
            initrd=initrd,
            params=params,
            secret=secret,
        )

    def local_disk_profile(self) -> str:
        """Text of a profile that boots a machine's own disk; after ``prepare`` by the disk loader, too."""
        return self._program.local_disk(self._disk_loader())

    def refusal(self, reason: str) -> str:
        """Text for a machine that gets no profile: shown on its console, which waits and restarts."""
        return self._program.refusal(printable_line(reason))

    @property
    def profile_directory(self) -> str:
        """Directory of the profiles below the repository."""
        return self._program.profile_directory(self._profiles)

    @property
    def secret_protocols(self) -> Collection[ExportKind]:
        """Protocols by which profiles with secrets are served."""
        return self._program.secret_protocols(self._export)

    def profile_path(self, node: Node) -> str:
        """Path of a node's profile below the repository, as machines ask for it."""
        return str(PurePosixPath(self.profile_directory, self._program.profile_name(node, self._profiles)))


def find_file(root: Path, name: str) -> Path | None:
    """Regular file of this name below the repository, None for anything else.

    Hidden files (being written), links that lead out of the repository, and special files are not served.
    """
    parts = _parts(name)
    if not parts:
        return None
    try:
        base = root.resolve(strict=True)
        path = base.joinpath(*parts).resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a loop of links
        return None
    return path if path.is_relative_to(base) and path.is_file() else None


def profile_names(root: Path, directory: str, name: str) -> list[str]:
    """Paths below the repository by which a profile is meant, none for the name of anything else.

    Empty parts count for nothing, as for files; a link that leads to a profile means that one.
    """
    names = ["/".join(_parts(name))]
    if (file := find_file(root, name)) is not None:
        names.append(str(file.relative_to(root.resolve())))
    return [one for one in dict.fromkeys(names) if one and _may_be_profile(PurePosixPath(one), directory)]


def _may_be_profile(path: PurePosixPath, directory: str) -> bool:
    return path.is_relative_to(directory) and path.parts[0] not in _NO_PROFILES


def _parts(name: str) -> list[str]:
    """Parts of a path, none where it is no path of a file that may be served."""
    parts = [part for part in name.split("/") if part]
    return [] if "\0" in name or any(part.startswith(".") for part in parts) else parts


def _safe_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9+_.-]", "_", name)


def _copy(source: Path, path: Path) -> None:
    with source.open("rb") as reader, _replacing(path) as writer:
        shutil.copyfileobj(reader, writer)


def _write(path: Path, content: bytes) -> None:
    with _replacing(path) as writer:
        writer.write(content)


@contextmanager
def _replacing(path: Path) -> Iterator[BufferedRandom]:
    """Temporary file that replaces ``path`` when the block ends well, and is removed when it does not."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w+b") as writer:
            os.fchmod(descriptor, 0o644)  # the servers may run as another user
            yield writer
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
