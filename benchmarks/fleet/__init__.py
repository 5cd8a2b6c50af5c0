# SPDX-License-Identifier: Apache-2.0
"""What benchmarks/end_to_end and benchmarks/soak are made of: whole deployments on container nodes."""
