# SPDX-License-Identifier: Apache-2.0
"""The micro-steps: what happens to a machine. One module per macro-step; each step reads top to bottom."""
