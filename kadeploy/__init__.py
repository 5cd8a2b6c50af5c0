# SPDX-License-Identifier: Apache-2.0
"""Install an operating-system image on many machines at once, and verify each of them."""

__version__ = "4.0.0.dev0"
