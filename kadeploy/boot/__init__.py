# SPDX-License-Identifier: Apache-2.0
"""What machines fetch when they boot: profiles, kernels, and the servers that hand them out."""
