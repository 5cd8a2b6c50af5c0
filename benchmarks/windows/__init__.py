# SPDX-License-Identifier: Apache-2.0
"""The windows of reboots and of looks at silent nodes: what they cost, alone and shared."""
