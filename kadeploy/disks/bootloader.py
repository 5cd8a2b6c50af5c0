# SPDX-License-Identifier: Apache-2.0
"""Shell scripts around kernels and bootloaders that run in the deployment environment.

They read the KADEPLOY_* variables, as scripts of administrators do.
"""

from __future__ import annotations

from kadeploy.disks import uefi_program
from kadeploy.disks.script import text_of
from kadeploy.disks.tree_program import shell_function


def install_grub_script() -> bytes:
    """Script that makes the disk boot the environment by grub: from BIOS, or from UEFI if the node has it.

    Variables: KADEPLOY_BLOCK_DEVICE, _DEPLOY_PART, _DEPLOY_PART_NUM, _ENV_EXTRACTION_DIR (mounted),
    _ENV_KERNEL, _ENV_INITRD (may be empty), _ENV_KERNEL_PARAMS, _ENV (name, for the menu), _ESP_PART (device,
    may be empty). Lines of its output that begin with ``note: `` are for the user; the exit status is
    ``programs.NO_ESP`` where a node that has started by UEFI has no EFI system partition.
    """
    uefi = uefi_program.shell_function("prepare_esp", "finish_boot")
    return f"#!/bin/sh\n{shell_function('grub_files')}{uefi}{text_of('install-grub.sh')}".encode()


def kernel_files_script() -> bytes:
    """Script that prints the paths of kernel and initrd of the environment, with links in the image followed.

    Two lines, absolute paths on the node; the second is empty without an initrd. Fails if one is missing.
    Variables: KADEPLOY_ENV_EXTRACTION_DIR (mounted), _ENV_KERNEL, _ENV_INITRD.
    """
    return f"#!/bin/sh\n{shell_function('kernel_files')}{text_of('kernel-files.sh')}".encode()
