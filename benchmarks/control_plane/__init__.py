# SPDX-License-Identifier: Apache-2.0
"""One command on many nodes: kadeploy's connections, clush, pdsh, taktuk and parallel-ssh."""
