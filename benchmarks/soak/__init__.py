# SPDX-License-Identifier: Apache-2.0
"""Many deployments in one process: what they leave behind."""
