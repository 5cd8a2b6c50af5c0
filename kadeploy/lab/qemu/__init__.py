# SPDX-License-Identifier: Apache-2.0
"""QEMU machines: firmware, PXE, kernel, kexec and disk are real."""
