# SPDX-License-Identifier: Apache-2.0
"""Programs and processes of this machine: run one with a deadline, identify one, say how one ended."""
