# SPDX-License-Identifier: Apache-2.0
"""Faults of machines on purpose: kinds, marks, and plans for many nodes."""
