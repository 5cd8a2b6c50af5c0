# SPDX-License-Identifier: Apache-2.0
"""Store: environments, workflows, their journals and statistics, leases, states of nodes."""
