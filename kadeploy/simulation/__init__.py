# SPDX-License-Identifier: Apache-2.0
"""Simulated deployments: the engine itself on a clock that jumps, with nodes that do not exist."""
