# SPDX-License-Identifier: Apache-2.0
"""iPXE: the script ``boot.ipxe`` for all machines chains to the profile of each."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from kadeploy.boot.program import REFUSAL_SECONDS, BootProgram, spell
from kadeploy.config.clusters import Node
from kadeploy.config.server import ExportKind, ProfileName, Profiles

_WORDS = re.compile(r"[^A-Za-z0-9 .,:_-]")
_SEPARATORS = frozenset({"||", "&&", ";"})

# A machine with a BIOS starts its first disk by sanboot. Under UEFI there is no such number: the disk loader
# finds what to start. Leaving iPXE with an error makes the firmware go on with the next entry of its boot
# order.
_LOCAL_DISK = """\
iseq ${platform} efi && exit 1 ||
sanboot --no-describe --drive 0x80 || exit 1
"""

# How iPXE itself spells what the profile's file is named after (https://ipxe.org/cfg; hexraw is lower case).
_FILE_NAMES = {
    ProfileName.IP: "${ip}",
    ProfileName.IP_HEX: "${ip:hexraw}",
    ProfileName.HOSTNAME: "${hostname}",
    ProfileName.HOSTNAME_SHORT: "${hostname}",
}


class IpxeProgram(BootProgram):
    """Boot program iPXE."""

    name = "IPXE"
    protocols = (ExportKind.HTTP, ExportKind.TFTP)

    def params_problem(self, params: str) -> str:
        if "${" in params:
            return "kernel parameters must not contain '${', which iPXE would replace"
        for word in params.split():
            if word in _SEPARATORS or word.startswith("#"):
                return f"kernel parameters must not contain the word '{word}', which iPXE would obey"
        return ""

    def minios(self, base_url: str, kernel: str, initrd: str, words: Sequence[str]) -> str:
        # UEFI kernels find their initrd by the name in initrd= (drivers/firmware/efi/libstub).
        # A file that cannot be fetched restarts the machine: going on to the disk would start the wrong
        # system.
        arguments = ["initrd=initrd.img", *words, "BOOTIF=01-${netX/mac:hexhyp}"]
        return (
            "#!ipxe\n"
            f"kernel {base_url}/{kernel} {' '.join(arguments)} || goto failed\n"
            f"initrd --name initrd.img {base_url}/{initrd} || goto failed\n"
            "boot || goto failed\n"
            ":failed\n"
            "echo The deployment environment could not be booted, restarting in 5 s\n"
            "sleep 5\n"
            "reboot\n"
        )

    def local_disk(self, disk_loader: str) -> str:
        return f"#!ipxe\n{_boot_disk(disk_loader)}"

    def refusal(self, reason: str) -> str:
        return f"#!ipxe\necho Refused: {_WORDS.sub('', reason)}\nsleep {REFUSAL_SECONDS}\nreboot\n"

    def profile_directory(self, profiles: Profiles) -> str:
        return profiles.directory

    def profile_name(self, node: Node, profiles: Profiles) -> str:
        return spell(node, profiles.filename)

    def secret_protocols(self, export: ExportKind) -> Collection[ExportKind]:
        # boot.ipxe names the profile by a URL of this kind. Over HTTP an attacker must hold the address, over
        # TFTP only send from it.
        return (ExportKind.HTTP,) if export is ExportKind.HTTP else tuple(ExportKind)

    def common_files(self, base_url: str, profiles: Profiles, disk_loader: str) -> Mapping[str, str | Path]:
        own_profile = f"{base_url}/{profiles.directory}/{_FILE_NAMES[profiles.filename]}"
        return {
            "boot.ipxe": (
                f"#!ipxe\nchain {own_profile} || echo No network boot: booting the local disk\n"
                f"{_boot_disk(disk_loader)}"
            )
        }


def _boot_disk(disk_loader: str) -> str:
    chain = f"iseq ${{platform}} efi && chain {disk_loader} ||\n" if disk_loader else ""
    return f"{chain}{_LOCAL_DISK}"


MEMBER = IpxeProgram()
