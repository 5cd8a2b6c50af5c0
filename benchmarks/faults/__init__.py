# SPDX-License-Identifier: Apache-2.0
"""Deployments on a fleet with broken nodes: verdicts, and how late the healthy nodes are."""
