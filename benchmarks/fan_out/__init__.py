# SPDX-License-Identifier: Apache-2.0
"""One command on many sshds: by kadeploy's own connections, and by the tools that others use for it."""
