# SPDX-License-Identifier: Apache-2.0
"""Shell scripts around kernels and bootloaders that run in the deployment environment.

They read the KADEPLOY_* variables, as scripts of administrators do.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


def install_grub_script() -> bytes:
    """Script that makes the disk boot the environment by grub, from BIOS and, if the node uses it, from UEFI.

    Variables: KADEPLOY_BLOCK_DEVICE, _DEPLOY_PART, _ENV_EXTRACTION_DIR (mounted), _ENV_KERNEL, _ENV_INITRD
    (may be empty), _ENV_KERNEL_PARAMS, _ENV (name, for the menu), _ESP_PART (device, may be empty).
    """
    return _script("install-grub.sh")


def kernel_files_script() -> bytes:
    """Script that prints the paths of kernel and initrd of the environment, with links in the image followed.

    Two lines, absolute paths on the node; the second is empty without an initrd. Fails if one is missing.
    Variables: KADEPLOY_ENV_EXTRACTION_DIR (mounted), _ENV_KERNEL, _ENV_INITRD.
    """
    return _script("kernel-files.sh")


@cache
def _script(name: str) -> bytes:
    """Text of a script as one file, with the functions that both scripts share in front."""
    folder = files(__package__) / "scripts"
    shared, own = ((folder / part).read_text() for part in ("image-paths.sh", name))
    return f"#!/bin/sh\n{shared}\n{own}".encode()
