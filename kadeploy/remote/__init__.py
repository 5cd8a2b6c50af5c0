# SPDX-License-Identifier: Apache-2.0
"""Ssh to nodes: one connection per node and boot, commands, scripts, copies, host keys."""
