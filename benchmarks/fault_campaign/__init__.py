# SPDX-License-Identifier: Apache-2.0
"""Deployments of a fleet of which some nodes are broken, and whether every node was told the truth of."""
