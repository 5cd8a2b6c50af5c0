# SPDX-License-Identifier: Apache-2.0
"""Conditions of micro-steps, which are bypassed without them, and of instances, which are replaced."""

from __future__ import annotations

from enum import Enum


class Condition(Enum):
    """Condition of a micro-step or instance; the value is its phrase in the tables of the documentation.

    ``steps/`` binds each one but ALWAYS to a predicate.
    """

    ALWAYS = "always"
    KEYS = "with `-k`"
    PARTITIONED = "unless `--disable-disk-partitioning`, or a whole disk is written"
    FORMATTED = "for images without a file system of their own, such as tar"
    MOUNTED_BEFORE_BROADCAST = "as above, where the miniOS can mount the target"
    MOUNTED_AFTER_BROADCAST = "for images with a file system, such as dd, that the miniOS can mount"
    TMP_FORMATTED = "with `-r`"
    SWAP_FORMATTED = "for Linux, where the layout has a swap partition"
    MOUNTABLE = "where the miniOS can mount the target"
    ADMIN_POST_INSTALLS = "where the cluster's file has post-installs, and the miniOS can mount the target"
    USER_POST_INSTALLS = "where the description has post-installs, and the miniOS can mount the target"
    KEYS_ON_TARGET = "with `-k`, where the miniOS can mount the target"
    KEXEC = "for Linux, where the miniOS can mount the target, unless `--no-kexec`"
    BOOTLOADER = "unless `--disable-bootloader-install`, where the miniOS can mount the target"
