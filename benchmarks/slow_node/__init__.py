# SPDX-License-Identifier: Apache-2.0
"""One node of three that boots late: what it costs the others."""
