# SPDX-License-Identifier: Apache-2.0
"""A cluster without hardware: QEMU machines in a network namespace of their own, each with a BMC."""
