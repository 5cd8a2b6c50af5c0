# SPDX-License-Identifier: Apache-2.0
"""What outlives a process: environments, workflows, their journals and statistics, leases, node states."""
