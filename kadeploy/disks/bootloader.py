# SPDX-License-Identifier: Apache-2.0
"""Shell scripts around kernels and bootloaders that run in the deployment environment.

They read the KADEPLOY_* variables, as scripts of administrators do.
"""

from __future__ import annotations

from kadeploy.disks.script import text_of
from kadeploy.disks.tree_program import shell_function


def install_grub_script() -> bytes:
    """Script that makes the disk boot the environment by grub, from BIOS and, if the node uses it, from UEFI.

    Variables: KADEPLOY_BLOCK_DEVICE, _DEPLOY_PART, _ENV_EXTRACTION_DIR (mounted), _ENV_KERNEL, _ENV_INITRD
    (may be empty), _ENV_KERNEL_PARAMS, _ENV (name, for the menu), _ESP_PART (device, may be empty).
    """
    return f"#!/bin/sh\n{shell_function('grub_files')}{text_of('install-grub.sh')}".encode()


def kernel_files_script() -> bytes:
    """Script that prints the paths of kernel and initrd of the environment, with links in the image followed.

    Two lines, absolute paths on the node; the second is empty without an initrd. Fails if one is missing.
    Variables: KADEPLOY_ENV_EXTRACTION_DIR (mounted), _ENV_KERNEL, _ENV_INITRD.
    """
    return f"#!/bin/sh\n{shell_function('kernel_files')}{text_of('kernel-files.sh')}".encode()
