# SPDX-License-Identifier: Apache-2.0
"""Network boot of machines: profiles, kernels, and the servers from which they fetch them."""
