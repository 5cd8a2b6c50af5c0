# SPDX-License-Identifier: Apache-2.0
"""Nodes that are namespaces of this kernel: all but firmware and kernel for real, and hundreds of them."""
