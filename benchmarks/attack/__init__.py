# SPDX-License-Identifier: Apache-2.0
"""What honest machines lose while a stranger attacks the boot server."""
