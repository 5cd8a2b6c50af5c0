# SPDX-License-Identifier: Apache-2.0
"""One file for many nodes: kadeploy's broadcasts and what others use, on wires of the same rate."""
