# SPDX-License-Identifier: Apache-2.0
"""Container nodes: namespaces of this kernel; all but firmware and kernel is real, and hundreds fit."""
