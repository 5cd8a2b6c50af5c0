# SPDX-License-Identifier: Apache-2.0
"""Deployments: request, plan, outcome."""
