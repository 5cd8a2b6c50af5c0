# SPDX-License-Identifier: Apache-2.0
"""Boot of the disk by UEFI: EFI system partition, loaders, NVRAM. All of it runs on the nodes."""
