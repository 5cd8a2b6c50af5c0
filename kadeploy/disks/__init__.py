# SPDX-License-Identifier: Apache-2.0
"""Partition layouts, file systems, bootloaders: typed layout in, commands out. No command is run here."""
