# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a machine on purpose: the kinds, their marks, and plans for many nodes."""
