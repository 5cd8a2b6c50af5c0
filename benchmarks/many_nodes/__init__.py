# SPDX-License-Identifier: Apache-2.0
"""What benchmarks/engine is made of."""
