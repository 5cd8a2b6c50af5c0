# SPDX-License-Identifier: Apache-2.0
"""Power operations: request, plan, outcome."""
