# SPDX-License-Identifier: Apache-2.0
"""The directory from which machines boot: profiles, kernels, and the boot programs themselves.

    boot.ipxe              the script that DHCP hands to iPXE; goes on with the node's profile
    profiles/172.31.0.11   profiles of iPXE, named as server.conf says
    pxelinux.0, *.c32      PXELINUX (method PXElinux)
    pxelinux.cfg/AC1F000B  its profiles; directory and names are PXELINUX's own
    kernels/SHA256-NAME    kernels and initrds, named by content: a file is never changed once it is there
    images/                images to be fetched over HTTP

Functions here block on the disk; call them through asyncio.to_thread where a loop runs.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom, BufferedReader
from ipaddress import ip_address
from pathlib import Path

from kadeploy.boot import profile
from kadeploy.config.clusters import Node
from kadeploy.config.server import BootMethod, ExportKind, Network, NetworkBoot, ProfileName
from kadeploy.config.site import Site
from kadeploy.errors import NotFoundError, RefusedError, ServiceError

DIGEST_CHARACTERS = 16
PXELINUX_DIRECTORY = "pxelinux.cfg"
_MODULES = Path("/usr/lib/syslinux/modules/bios")
_PROGRAMS = Path("/usr/lib/PXELINUX")
_PXELINUX_MODULES = ("ldlinux.c32", "libcom32.c32", "libutil.c32", "chain.c32")


class BootRepository:
    """Writer of the boot repository; every write appears at once and whole, or not at all."""

    def __init__(self, root: Path, boot: NetworkBoot, network: Network) -> None:
        self.root = root
        self.method = boot.method
        self._export = boot.export.kind
        self._network = network
        pxelinux = boot.method is BootMethod.PXELINUX
        self._profiles = PXELINUX_DIRECTORY if pxelinux else boot.profiles.directory
        self._names = ProfileName.IP_HEX if pxelinux else boot.profiles.filename

    @classmethod
    def of(cls, site: Site) -> BootRepository:
        """The repository that a site's server.conf describes."""
        boot = site.server.pxe.dhcp
        return cls(site.path(boot.repository), boot, site.server.network)

    @property
    def base_url(self) -> str:
        """URL of the repository as a boot program fetches from it, without a slash at its end."""
        ports = self._network.ports
        port = ports.http if self._export is ExportKind.HTTP else ports.tftp
        return f"{self._export}://{self._network.server_address}:{port}"

    def prepare(self) -> None:
        """Make the directories and write the files that are the same for all nodes.

        Raises ServiceError where the repository cannot be written or PXELINUX is not installed.
        """
        try:
            for name in (self._profiles, "kernels", "images"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            if self.method is BootMethod.IPXE:
                script = profile.first_script(f"{self.base_url}/{self._profiles}", self._names)
                _write(self.root / "boot.ipxe", script)
            else:
                self._install_pxelinux()
        except OSError as error:
            raise ServiceError(f"the boot repository {self.root} cannot be made: {error}") from error

    def _install_pxelinux(self) -> None:
        # lpxelinux.0 is pxelinux.0 with an HTTP client: an initrd takes a second instead of minutes.
        program = "lpxelinux.0" if self._export is ExportKind.HTTP else "pxelinux.0"
        files = {"pxelinux.0": _PROGRAMS / program, **{name: _MODULES / name for name in _PXELINUX_MODULES}}
        missing = [str(path) for path in files.values() if not path.is_file()]
        if missing:
            raise ServiceError(
                f"PXELINUX is not installed: {', '.join(missing)} missing",
                hint="apt-get install pxelinux syslinux-common",
            )
        for name, source in files.items():
            with source.open("rb") as reader, _replacing(self.root / name) as writer:
                shutil.copyfileobj(reader, writer)
        _write(self.root / PXELINUX_DIRECTORY / "default", profile.local_disk(self.method))

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
                    self._copy(reader, target, digest)
        except OSError as error:
            raise NotFoundError(f"the boot file {path} cannot be read: {error.strerror}") from error
        return relative

    def _copy(self, reader: BufferedReader, target: Path, digest: str) -> None:
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

    def minios_profile(self, *, kernel: str, initrd: str, params: str = "", token: str = "") -> str:
        """Text of a profile that boots the miniOS from this repository (see profile.minios)."""
        return profile.minios(
            self.method, self.base_url, kernel=kernel, initrd=initrd, params=params, token=token
        )

    def local_disk_profile(self) -> str:
        """Text of a profile that boots a machine's own disk."""
        return profile.local_disk(self.method)

    def profile_path(self, node: Node) -> Path:
        """The file of a node's profile."""
        return self.root / self._profiles / self._profile_name(node)

    def _profile_name(self, node: Node) -> str:
        match self._names:
            case ProfileName.IP:
                return node.address
            case ProfileName.HOSTNAME:
                return node.name
            case ProfileName.HOSTNAME_SHORT:
                return node.short_name
            case ProfileName.IP_HEX:
                name = ip_address(node.address).packed.hex()
                # PXELINUX asks for upper case; iPXE can only spell it in lower case.
                return name.upper() if self.method is BootMethod.PXELINUX else name

    def write_profile(self, node: Node, text: str) -> None:
        """Replace a node's profile; raises ServiceError."""
        path = self.profile_path(node)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, text)
        except OSError as error:
            raise ServiceError(f"the boot profile of {node.name} cannot be written: {error}") from error

    def remove_profile(self, node: Node) -> None:
        """Forget a node's profile, if it has one: it will boot its own disk; raises ServiceError."""
        try:
            self.profile_path(node).unlink(missing_ok=True)
        except OSError as error:
            raise ServiceError(f"the boot profile of {node.name} cannot be removed: {error}") from error

    def read_profile(self, node: Node) -> str | None:
        """Text of a node's profile, None where it has none; raises ServiceError.

        Bytes that are no UTF-8, of a profile that an administrator wrote, are kept for write_profile.
        """
        try:
            return self.profile_path(node).read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ServiceError(f"the boot profile of {node.name} cannot be read: {error}") from error


def find_file(root: Path, name: str) -> Path | None:
    """The regular file of this name below the repository, None for anything else.

    Hidden files (being written), links that lead out of the repository, and special files are not served.
    """
    parts = [part for part in name.split("/") if part]
    if not parts or "\0" in name or any(part.startswith(".") for part in parts):
        return None
    try:
        base = root.resolve(strict=True)
        path = base.joinpath(*parts).resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a loop of links
        return None
    return path if path.is_relative_to(base) and path.is_file() else None


def _safe_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9+_.-]", "_", name)


def _write(path: Path, text: str) -> None:
    with _replacing(path) as writer:
        writer.write(text.encode(errors="surrogateescape"))


@contextmanager
def _replacing(path: Path) -> Iterator[BufferedRandom]:
    """A file that takes the place of ``path`` when the block ends well and is gone when it does not."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w+b") as writer:
            os.fchmod(descriptor, 0o644)  # the servers may run as another user
            yield writer
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
