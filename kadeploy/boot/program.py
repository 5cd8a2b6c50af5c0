# SPDX-License-Identifier: Apache-2.0
"""Family of boot programs: the texts and names of their profiles, and the files that each needs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol, cast

from kadeploy.config import server
from kadeploy.config.clusters import Node
from kadeploy.config.server import ConfiguredProgram, ExportKind, ProfileName, Profiles
from kadeploy.families import Family

REFUSAL_SECONDS = 30  # until a machine that was refused restarts


class BootProgram(ConfiguredProgram, Protocol):
    """Boot program that a site's DHCP server hands out.

    ``wants_disk_loader``: whether it runs on UEFI machines, and starts their disks by boot/disk_loader.py.
    """

    wants_disk_loader: bool = True

    @abstractmethod
    def params_problem(self, params: str) -> str:
        """Sentence on kernel parameters that the program would not pass on literally, '' for none."""

    @abstractmethod
    def minios(self, base_url: str, kernel: str, initrd: str, words: Sequence[str]) -> str:
        """Profile that boots the miniOS: paths of two files below ``base_url``, words of the command line."""

    @abstractmethod
    def local_disk(self, disk_loader: str) -> str:
        """Profile that boots the disk of the machine: the first one, where it has a BIOS.

        ``disk_loader``: URL of the EFI program that finds and starts what is on the disk of a UEFI machine,
        '' where there is none.
        """

    @abstractmethod
    def refusal(self, reason: str) -> str:
        """Profile for a machine that is refused: shows the reason on its console, waits, and restarts it.

        ``reason`` is one line of ASCII. The machine must not go on to its disk, nor to what it boots next.
        """

    @abstractmethod
    def profile_directory(self, profiles: Profiles) -> str:
        """Directory of the profiles below the repository; ``profiles`` is what server.conf asks for."""

    @abstractmethod
    def profile_name(self, node: Node, profiles: Profiles) -> str:
        """Name of a node's profile in that directory."""

    def secret_protocols(self, export: ExportKind) -> Collection[ExportKind]:
        """Protocols by which a profile with a secret is served, where kernels are fetched by ``export``.

        Those by which the program never fetches its profile are to be left out.
        """
        return tuple(ExportKind)

    @abstractmethod
    def common_files(self, base_url: str, profiles: Profiles, disk_loader: str) -> Mapping[str, str | Path]:
        """Files that are the same for all nodes, by their paths below the repository: text, or file to copy.

        ``disk_loader`` is as in ``local_disk``.
        Raises ServiceError where the program is not installed on this machine.
        """


BOOT_PROGRAMS = cast("Family[BootProgram]", server.BOOT_PROGRAMS)


def spell(node: Node, name: ProfileName) -> str:
    """Name of a node in the form that server.conf asks for; hexadecimal is in lower case."""
    match name:
        case ProfileName.IP:
            return node.address
        case ProfileName.HOSTNAME:
            return node.name
        case ProfileName.HOSTNAME_SHORT:
            return node.short_name
        case ProfileName.IP_HEX:
            return ip_address(node.address).packed.hex()
