# SPDX-License-Identifier: Apache-2.0
"""One file for many nodes: kadeploy's broadcasts and the tools that others use for it, on the same wires."""
