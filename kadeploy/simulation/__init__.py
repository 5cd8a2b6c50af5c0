# SPDX-License-Identifier: Apache-2.0
"""Deployments that only seem to happen: the engine itself on a clock that jumps, with imagined nodes."""
