# SPDX-License-Identifier: Apache-2.0
"""What makes a machine with UEFI boot its disk: EFI system partition, loaders, NVRAM. Runs on the nodes."""
