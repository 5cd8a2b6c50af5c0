# SPDX-License-Identifier: Apache-2.0
"""Reboots: request, plan, outcome."""
