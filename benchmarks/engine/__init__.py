# SPDX-License-Identifier: Apache-2.0
"""The engine without machines: deployments of up to 10,000 simulated nodes."""
