# SPDX-License-Identifier: Apache-2.0
"""PXELINUX: profiles are ``pxelinux.cfg/AC1F000B``, an address in hexadecimal, beside the program itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kadeploy.boot.program import REFUSAL_SECONDS, BootProgram, spell
from kadeploy.config.clusters import Node
from kadeploy.config.server import ExportKind, ProfileName, Profiles
from kadeploy.errors import ServiceError

_DIRECTORY = "pxelinux.cfg"
_MODULES = Path("/usr/lib/syslinux/modules/bios")
_PROGRAMS = Path("/usr/lib/PXELINUX")
_MODULE_NAMES = ("ldlinux.c32", "libcom32.c32", "libutil.c32", "chain.c32", "reboot.c32")

_LOCAL_DISK = """\
DEFAULT local
PROMPT 0
LABEL local
  COM32 chain.c32
  APPEND hd0
"""


class PxelinuxProgram(BootProgram):
    """Boot program PXELINUX; it ignores the directory and names of profiles in server.conf."""

    name = "PXElinux"
    protocols = (ExportKind.HTTP, ExportKind.TFTP)
    wants_disk_loader = False

    def params_problem(self, params: str) -> str:
        return ""  # it passes on the rest of the line

    def minios(self, base_url: str, kernel: str, initrd: str, words: Sequence[str]) -> str:
        # Paths without a URL are fetched by TFTP, relative to pxelinux.0. IPAPPEND 2 adds BOOTIF=.
        prefix = f"{base_url}/" if _uses_http(base_url) else ""
        return (
            "DEFAULT minios\n"
            "PROMPT 0\n"
            "LABEL minios\n"
            f"  KERNEL {prefix}{kernel}\n"
            f"  APPEND {' '.join([f'initrd={prefix}{initrd}', *words])}\n"
            "  IPAPPEND 2\n"
        )

    def local_disk(self, disk_loader: str) -> str:
        return _LOCAL_DISK

    def refusal(self, reason: str) -> str:
        # Whoever sits there may do without the pause, and not more.
        return (
            f"SAY Refused: {reason}\n"
            "DEFAULT refused\n"
            "PROMPT 1\n"
            f"TIMEOUT {10 * REFUSAL_SECONDS}\n"
            "ALLOWOPTIONS 0\n"
            "LABEL refused\n"
            "  COM32 reboot.c32\n"
        )

    def profile_directory(self, profiles: Profiles) -> str:
        return _DIRECTORY

    def profile_name(self, node: Node, profiles: Profiles) -> str:
        return spell(node, ProfileName.IP_HEX).upper()

    def common_files(self, base_url: str, profiles: Profiles, disk_loader: str) -> Mapping[str, str | Path]:
        # lpxelinux.0 is pxelinux.0 with an HTTP client: an initrd takes a second instead of minutes.
        program = "lpxelinux.0" if _uses_http(base_url) else "pxelinux.0"
        programs = {"pxelinux.0": _PROGRAMS / program, **{name: _MODULES / name for name in _MODULE_NAMES}}
        missing = [str(path) for path in programs.values() if not path.is_file()]
        if missing:
            raise ServiceError(
                f"PXELINUX is not installed: {', '.join(missing)} missing",
                hint="apt-get install pxelinux syslinux-common",
            )
        return {**programs, f"{_DIRECTORY}/default": _LOCAL_DISK}


MEMBER = PxelinuxProgram()


def _uses_http(base_url: str) -> bool:
    return base_url.startswith("http://")
