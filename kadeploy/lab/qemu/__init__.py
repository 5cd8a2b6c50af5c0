# SPDX-License-Identifier: Apache-2.0
"""Nodes that are QEMU machines: firmware, PXE, kernel, kexec and disk for real."""
