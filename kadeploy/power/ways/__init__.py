# SPDX-License-Identifier: Apache-2.0
"""Ways of power: the members of a family, one a module."""
