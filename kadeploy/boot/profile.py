# SPDX-License-Identifier: Apache-2.0
"""Texts of boot profiles for iPXE and pxelinux; no file and no network is touched here.

Whoever can write a line of a profile decides what a machine runs as root, so everything that is put into
one is checked to be what it seems: a path is one word, parameters are one line without commands.
"""

from __future__ import annotations

import re

from kadeploy.config.server import BootMethod, ProfileName
from kadeploy.errors import RefusedError

TOKEN_PARAMETER = "kadeploy.boot"  # noqa: S105 - proves which profile booted, is no secret
MAX_COMMAND_LINE = 2000  # COMMAND_LINE_SIZE of x86 is 2048 (asm/setup.h); boot programs add some

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+_./-]*")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_IPXE_SEPARATORS = frozenset({"||", "&&", ";"})

# A machine with a BIOS starts its first disk by sanboot. Under UEFI there is no such number: leaving iPXE
# with an error makes the firmware go on with the next entry of its boot order. That should be the disk's boot
# loader; firmware that has entries for HTTP boot or IPv6 before it tries those first, a minute or more.
_IPXE_LOCAL_DISK = """\
iseq ${platform} efi && exit 1 ||
sanboot --no-describe --drive 0x80 || exit 1
"""

_PXELINUX_LOCAL_DISK = """\
DEFAULT local
PROMPT 0
LABEL local
  COM32 chain.c32
  APPEND hd0
"""

# How iPXE itself spells what the profile's file is named after (https://ipxe.org/cfg; hexraw is lower case).
_IPXE_FILE_NAMES = {
    ProfileName.IP: "${ip}",
    ProfileName.IP_HEX: "${ip:hexraw}",
    ProfileName.HOSTNAME: "${hostname}",
    ProfileName.HOSTNAME_SHORT: "${hostname}",
}


def minios(
    method: BootMethod, base_url: str, *, kernel: str, initrd: str, params: str = "", token: str = ""
) -> str:
    """Profile that boots the miniOS.

    ``kernel`` and ``initrd`` are paths below ``base_url`` as BootRepository.install_kernel returns them;
    ``token`` ends up as ``kadeploy.boot=TOKEN`` on the kernel's command line. Raises RefusedError where one
    of them could be taken for a directive.
    """
    for path in (kernel, initrd):
        _check(bool(_FILE.fullmatch(path)) and ".." not in path, f"'{path}' is no path of a boot file")
    _check(not token or bool(_TOKEN.fullmatch(token)), "the boot token is not one word")
    _check_params(method, params)
    words = [*params.split(), *([f"{TOKEN_PARAMETER}={token}"] if token else [])]
    if method is BootMethod.IPXE:
        return _ipxe_minios(base_url, kernel, initrd, words)
    return _pxelinux_minios(base_url, kernel, initrd, words)


def local_disk(method: BootMethod) -> str:
    """Profile that boots what is on the machine's first disk."""
    if method is BootMethod.IPXE:
        return f"#!ipxe\n{_IPXE_LOCAL_DISK}"
    return _PXELINUX_LOCAL_DISK


def first_script(profiles_url: str, name: ProfileName) -> str:
    """The iPXE script that DHCP hands out: goes on with the node's own profile, else with its disk."""
    return (
        "#!ipxe\n"
        f"chain {profiles_url}/{_IPXE_FILE_NAMES[name]} || echo No network boot: booting the local disk\n"
        f"{_IPXE_LOCAL_DISK}"
    )


def _ipxe_minios(base_url: str, kernel: str, initrd: str, words: list[str]) -> str:
    # UEFI kernels find their initrd by the name in initrd= (drivers/firmware/efi/libstub).
    # A file that cannot be fetched restarts the machine: going on to the disk would start the wrong system.
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


def _pxelinux_minios(base_url: str, kernel: str, initrd: str, words: list[str]) -> str:
    # Paths without a URL are fetched by TFTP, relative to pxelinux.0. IPAPPEND 2 adds BOOTIF=.
    prefix = f"{base_url}/" if base_url.startswith("http://") else ""
    return (
        "DEFAULT minios\n"
        "PROMPT 0\n"
        "LABEL minios\n"
        f"  KERNEL {prefix}{kernel}\n"
        f"  APPEND {' '.join([f'initrd={prefix}{initrd}', *words])}\n"
        "  IPAPPEND 2\n"
    )


def _check_params(method: BootMethod, params: str) -> None:
    _check(params.isprintable() and params.isascii(), "kernel parameters must be one line of ASCII text")
    _check(len(params) <= MAX_COMMAND_LINE, f"kernel parameters have more than {MAX_COMMAND_LINE} characters")
    if method is BootMethod.IPXE:
        _check("${" not in params, "kernel parameters must not contain '${', which iPXE would replace")
        for word in params.split():
            safe = word not in _IPXE_SEPARATORS and not word.startswith("#")
            _check(safe, f"kernel parameters must not contain the word '{word}', which iPXE would obey")


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise RefusedError(message, hint="correct boot.kernels.deploy in the cluster's file")
